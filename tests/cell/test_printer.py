"""Printed IR is the language: it reads well and means the same."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from sprnnc.cell.ir import (
    Binary,
    BinaryOp,
    Cell,
    DType,
    Equation,
    Expr,
    MatVec,
    Model,
    Number,
    Ref,
    ScheduleEntry,
    Space,
    Unary,
    UnaryOp,
    Vector,
    Weight,
)
from sprnnc.cell.printer import print_expr, print_model
from sprnnc.language.check import check
from sprnnc.language.parse import parse
from sprnnc.sparsity.patterns import Dense, Unstructured

X, H = Space("I", 3), Space("H", 5)
a, b, c = Ref("a", H), Ref("b", H), Ref("c", H)


def test_fewest_parentheses() -> None:
    add, sub, mul = BinaryOp.ADD, BinaryOp.SUB, BinaryOp.MUL
    assert print_expr(Binary(sub, Binary(sub, a, b), c)) == "a - b - c"
    assert print_expr(Binary(sub, a, Binary(sub, b, c))) == "a - (b - c)"
    assert print_expr(Binary(mul, Binary(add, a, b), c)) == "(a + b) * c"
    assert print_expr(Binary(mul, a, MatVec("U", H, b))) == "a * U @ b"
    assert print_expr(MatVec("U", H, Binary(mul, a, b))) == "U @ (a * b)"
    assert print_expr(Unary(UnaryOp.NEG, MatVec("U", H, b))) == "-U @ b"
    assert print_expr(Unary(UnaryOp.EXP, Binary(BinaryOp.MAX, a, Number(1e-05)))) == "exp(max(a, 1e-05))"


def test_model_text() -> None:
    cell = _cell_of(Binary(BinaryOp.MUL, Number(-0.5, "k"), Ref("h", H)))
    schedule = (ScheduleEntry("blocks", 4), ScheduleEntry("fast", True))
    model = Model("m", "main", cell, DType.FP16, DType.FP32, schedule)
    assert print_model(model).splitlines() == [
        "cell A(I, H) {",
        "  # I = 3, H = 5",
        "  input x[I]",
        "  state h[H]",
        "  weight W[H, I]  dense",
        "  weight U[H, H]  sparse(0.5)",
        "  bias b[H]",
        "  const k = -0.5",
        "",
        "  used = b + W @ x + U @ h  # [H]",
        "  h' = k * h  # [H]",
        "  output h'  # [H]",
        "}",
        "",
        "model m {",
        "  layer main = A(I=3, H=5)",
        "  dtype fp16",
        "  accumulate fp32",
        "}",
        "",
        "schedule {",
        "  blocks = 4",
        "  fast = true",
        "}",
    ]


def _cell_of(value: Expr) -> Cell:
    """A cell whose next state is ``value``, over x[I], h[H], W[H, I], U[H, H], b[H] and a local ``used``."""
    h, x = Ref("h", H), Ref("x", X)
    products = Binary(BinaryOp.ADD, Binary(BinaryOp.ADD, Ref("b", H), MatVec("W", H, x)), MatVec("U", H, h))
    return Cell(
        "A",
        inputs=(Vector("x", X),),
        states=(Vector("h", H),),
        weights=(Weight("W", H, X, Dense()), Weight("U", H, H, Unstructured(0.5))),
        params=(Vector("b", H),),
        equations=(Equation("used", H, products), Equation("h'", H, value)),
        output=Ref("h'", H),
        output_space=H,
    )


_numbers = st.builds(Number, st.floats(0, 2.0**100))
_leaves = st.sampled_from([Ref(name, H) for name in ("h", "b", "used")])


def _larger(vectors: st.SearchStrategy[Expr]) -> st.SearchStrategy[Expr]:
    operators, functions = st.sampled_from(BinaryOp), st.sampled_from(UnaryOp)
    return st.one_of(
        st.builds(Unary, functions, vectors),
        st.builds(Binary, operators, vectors, vectors),
        st.builds(Binary, operators, vectors, _numbers),
        st.builds(Binary, operators, _numbers, vectors),
        st.builds(MatVec, st.just("U"), st.just(H), vectors),
    )


@settings(max_examples=100, deadline=None)
@given(st.recursive(_leaves, _larger, max_leaves=12))
def test_printed_model_checks_to_itself(value: Expr) -> None:
    model = Model("m", "main", _cell_of(value), DType.FP32, DType.FP32, ())
    assert check(parse(print_model(model))) == model
