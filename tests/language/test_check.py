"""What the checker makes of good programs."""

from __future__ import annotations

from sprnnc.cell.ir import (
    Binary,
    BinaryOp,
    Cell,
    DType,
    Expr,
    MatVec,
    Model,
    Number,
    Ref,
    Space,
    Unary,
    UnaryOp,
)
from sprnnc.language.check import check
from sprnnc.language.parse import parse
from sprnnc.sparsity.patterns import (
    AsStored,
    Balanced,
    BlockDiagonal,
    Blocks,
    Dense,
    NOfM,
    Pattern,
    Unstructured,
    WithDiagonal,
)

X, H = Space("I", 6), Space("H", 8)
MODEL = "model m { layer main = A(I=6, H=8) }\n"


def cell_of(*lines: str) -> Cell:
    """A cell with input x[I], state h[H], weights W[H, I] and U[H, H], a vector p and these lines."""
    declarations = [
        "input x[I]",
        "state h[H]",
        "weight W[H, I], U[H, H]",
        "weight p[H]",
        "used = p + W @ x + U @ h",
    ]
    source = "cell A(I, H) {\n" + "\n".join([*declarations, *lines, "output h'"]) + "\n}\n" + MODEL
    return check(parse(source), source=source).cell


def value_of(expression: str) -> Expr:
    return cell_of(f"h' = {expression}").equations[-1].value


def test_equation_to_ir() -> None:
    h, x = Ref("h", H), Ref("x", X)
    product = MatVec("U", H, Binary(BinaryOp.MUL, Ref("p", H), h))
    assert value_of("tanh(W @ x - U @ (p * h))") == Unary(
        UnaryOp.TANH, Binary(BinaryOp.SUB, MatVec("W", H, x), product)
    )


def test_clamp_is_min_of_max() -> None:
    low = Binary(BinaryOp.MAX, Ref("h", H), Number(0.0))
    assert value_of("clamp(h, 0, 1)") == Binary(BinaryOp.MIN, low, Number(1.0))


def test_every_function_is_known() -> None:
    for name in ("sigmoid", "tanh", "relu", "exp", "log", "abs", "softplus"):
        assert value_of(f"{name}(h)") == Unary(UnaryOp(name), Ref("h", H))
    for name in ("min", "max"):
        assert value_of(f"{name}(h, 2)") == Binary(BinaryOp(name), Ref("h", H), Number(2.0))


def test_constants_keep_their_name() -> None:
    cell = cell_of("const k = -2.5", "h' = k * h")
    assert cell.equations[-1].value == Binary(BinaryOp.MUL, Number(-2.5, "k"), Ref("h", H))


def test_next_states_can_be_read_once_defined() -> None:
    cell = cell_of("h' = 2 * h", "state c[H]", "c' = h' + c")
    assert [e.target for e in cell.equations] == ["used", "h'", "c'"]
    assert cell.equations[-1].value == Binary(BinaryOp.ADD, Ref("h'", H), Ref("c", H))


def test_output_may_stand_before_what_it_reads() -> None:
    source = "cell A(I, H) {\noutput h'\ninput x[I]\nstate h[H]\nweight W[H, I]\nh' = W @ x + h\n}\n" + MODEL
    cell = check(parse(source)).cell
    assert (cell.output, cell.output_space) == (Ref("h'", H), H)


def test_weight_with_one_size_is_a_vector_parameter() -> None:
    cell = cell_of("bias q[H]", "h' = p * h + q")
    assert [(v.name, v.space) for v in cell.params] == [("p", H), ("q", H)]
    assert [w.name for w in cell.weights] == ["W", "U"]


def test_patterns() -> None:
    written: dict[str, Pattern] = {
        "": Dense(),
        "dense": Dense(),
        "sparse(0.1)": Unstructured(0.1),
        "sparse(0)": Unstructured(0.0),
        "blocks(4, 2, 0.5)": Blocks(4, 2, 0.5),
        "block_diagonal(4)": BlockDiagonal(4),
        "n_of_m(2, 4)": NOfM(2, 4),
        "balanced(0.5, 4)": Balanced(0.5, 4),
        "as_stored": AsStored(),
        "sparse(0.1) + diagonal": WithDiagonal(Unstructured(0.1)),
    }
    for text, pattern in written.items():
        weight = cell_of(f"weight V[H, H] {text}", "h' = V @ h").weight("V")
        assert weight.pattern == pattern, text


def model_of(settings: str, schedule: str = "", dtype: DType | None = None) -> Model:
    cell = "cell A(I, H) {\ninput x[I]\nstate h[H]\nweight W[H, I]\nh' = W @ x + h\noutput h'\n}\n"
    program = parse(f"{cell}model speech {{\nlayer first = A(I=6, H=8)\n{settings}\n}}\n{schedule}")
    return check(program, dtype=dtype)


def test_model_names_and_defaults() -> None:
    model = model_of("")
    assert (model.name, model.layer, model.cell.name) == ("speech", "first", "A")
    assert (model.dtype, model.accumulate, model.schedule) == (DType.FP32, DType.FP32, ())


def test_dtypes() -> None:
    model = model_of("dtype fp16\naccumulate fp16")
    assert (model.dtype, model.accumulate) == (DType.FP16, DType.FP16)
    assert model_of("dtype fp16", dtype=DType.BF16).dtype is DType.BF16


def test_schedule_is_handed_on_as_written() -> None:
    model = model_of("", "schedule {\nexchange = barrier\nblocks = 16\nfast = false\n}")
    assert [(e.name, e.value) for e in model.schedule] == [
        ("exchange", "barrier"),
        ("blocks", 16),
        ("fast", False),
    ]


CELL_ALONE = "cell A(I, H) {\ninput x[I]\nstate h[H]\nweight W[H, I]\nh' = W @ x + h\noutput h'\n}\n"


def test_one_cell_needs_no_model_block_if_sizes_are_given() -> None:
    model = check(parse(CELL_ALONE), sizes={"I": 3, "H": 5})
    assert (model.name, model.layer) == ("A", "main")
    assert model.cell.states[0].space == Space("H", 5)


def test_sizes_from_outside_go_before_the_model() -> None:
    model = check(parse(CELL_ALONE + MODEL), sizes={"H": 64})
    assert (model.cell.inputs[0].space.size, model.cell.states[0].space.size) == (6, 64)


def test_the_layer_chooses_among_several_cells() -> None:
    other = CELL_ALONE.replace("cell A", "cell B")
    assert check(parse(CELL_ALONE + other + MODEL.replace("= A", "= B"))).cell.name == "B"
