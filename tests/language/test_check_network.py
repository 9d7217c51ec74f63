"""Models of several layers: what they mean, and every way in which layers cannot be joined."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sprnnc.cell import network as n
from sprnnc.cell.ir import Model
from sprnnc.cell.printer import print_network
from sprnnc.diagnostics import CompileError, Diagnostic
from sprnnc.language.check import check, check_program
from sprnnc.language.parse import parse

MODELS = sorted((Path(__file__).parents[2] / "examples/models").glob("*.sprnn"))
CELLS = """\
cell A(I, H) {
  input  x[I]
  state  h[H]
  weight W[H, I], U[H, H]
  h' = tanh(W @ x + U @ h)
  output h'
}
cell Two(I, J, H) {
  input  x[I], y[J]
  state  h[H]
  weight W[H, I], V[H, J]
  h' = tanh(W @ x + V @ y + h)
  output h'
}
"""
MODEL = """\
model m {
  input x[6]
  layer a = A(I=6, H=8) on x
  layer b = A(I=14, H=8) reverse on [a, x]
  layer c = A(I=8, H=8) on a + b
  layer d = A(I=8, H=8) shares c on c
  output [c, d]
}
"""


def network(source: str, **more: object) -> n.Network:
    found = check_program(parse(source), source=source, filename="file.sprnn", **more)
    assert isinstance(found, n.Network)
    return found


def errors(source: str, **more: object) -> tuple[Diagnostic, ...]:
    with pytest.raises(CompileError) as caught:
        check_program(parse(source), source=source, filename="file.sprnn", **more)
    return caught.value.diagnostics


def test_layers_and_what_they_read() -> None:
    m = network(CELLS + MODEL)
    x, a, b, c, d = n.Stream("x", 6), *(n.Stream(name, 8) for name in "abcd")
    assert m.input == x
    assert [i.operand for i in m.layers] == [x, n.Concat((a, x)), n.Sum((a, b)), c]
    assert [i.reverse for i in m.layers] == [False, True, False, False]
    assert [i.weights for i in m.layers] == ["a", "b", "c", "c"]
    assert m.output == n.Concat((c, d)) and n.size_of(m.output) == 16
    assert [i.name for i in m.owners] == ["a", "b", "c"]


def test_lists_and_sums_nest() -> None:
    source = MODEL.replace("on a + b", "on [a] + b").replace("output [c, d]", "output [[c, d] + [d, c],\n x]")
    m = network(CELLS + source)
    assert n.size_of(m.output) == 22
    assert n.print_joined(m.output) == "[[c, d] + [d, c], x]"


def test_several_inputs_of_a_cell_are_side_by_side() -> None:
    source = MODEL.replace("A(I=14, H=8) reverse", "Two(I=8, J=6, H=8)")
    assert network(CELLS + source).layers[1].cell.name == "Two"


def test_words_of_joints_are_names_elsewhere() -> None:
    source = MODEL.replace("layer a", "layer on").replace("[a, x]", "[on, x]").replace("a + b", "on + b")
    assert network(CELLS + source).layers[0].name == "on"


def test_a_layer_that_says_nothing_of_joints_is_a_model_as_before() -> None:
    text = CELLS + "model m {\n  layer main = A(I=6, H=8)\n}\n"
    assert isinstance(check_program(parse(text)), Model)


def test_one_layer_may_be_a_network() -> None:
    text = CELLS + "model m {\n  input x[6]\n  layer main = A(I=6, H=8) reverse on x\n  output main\n}\n"
    assert network(text).layers[0].reverse


def test_where_one_layer_is_needed_a_network_is_refused() -> None:
    with pytest.raises(CompileError, match=r"E222.*joins layers \(a, b, c, d\)(.|\n)*--split"):
        check(parse(CELLS + MODEL))


def test_sizes_from_outside_name_their_layer() -> None:
    sizes = {"x": 4, "a.I": 4, "b.I": 12}
    m = network(CELLS + MODEL, sizes=sizes)
    assert m.input.size == 4 and m.layers[0].cell.inputs[0].space.size == 4
    (plain,) = errors(CELLS + MODEL, sizes={"H": 4})
    assert plain.code == "E212" and "such as a.H" in plain.help
    (unknown,) = errors(CELLS + MODEL, sizes={"a.Q": 4})
    assert unknown.code == "E212" and "sizes of A: I, H" in unknown.help
    (bad,) = errors(CELLS + MODEL, sizes={"x": 0})
    assert bad.code == "E211"


def test_an_error_of_a_cell_that_several_layers_use_is_reported_once() -> None:
    (found,) = errors(CELLS.replace("U @ h)", "U @ hh)") + MODEL)
    assert found.code == "E201"


@dataclass(frozen=True)
class Case:
    """One edit of the good model and the single error it makes; its line counts from ``model``."""

    old: str
    new: str
    code: str
    place: str
    said: str
    fix: str


CIRCLE_OF = "".join(MODEL.splitlines(keepends=True)[1:4])
CIRCLE = "  layer a = A(I=8, H=8) on b\n  layer b = A(I=8, H=8) on a\n"
CASES = {
    "undefined": Case("on x\n", "on y\n", "E201", "3:28", "undefined layer 'y'", "known here: x"),
    "undefined, near": Case("[a, x]", "[aa, x]", "E201", "4:38", "'aa'", "did you mean 'a'?"),
    "no cell": Case("= A(I=6", "= B(I=6", "E201", "3:13", "undefined cell 'B'", "A, Two"),
    "shares nothing": Case("shares c", "shares e", "E201", "6:32", "no layer 'e' above", "a, b, c"),
    "shares a later one": Case(
        "A(I=6, H=8)", "A(I=6, H=8) shares c", "E201", "3:32", "no layer 'c'", "(none)"
    ),
    "name taken": Case("layer b", "layer a", "E202", "4:9", "a second layer 'a'", "rename"),
    "input's name": Case(
        "layer a", "layer x", "E202", "3:9", "already declared in line 2", "as the layer is"
    ),
    "two inputs": Case(
        "input x[6]", "input x[6]\n  input y[2]", "E202", "3:3", "a second 'input'", "has one"
    ),
    "read early": Case("on x\n", "on c\n", "E226", "3:28", "c reads a, a reads c", "a state of its cell"),
    "reads itself": Case("on a + b", "on c + b", "E226", "5:28", "c reads c", "a state of its cell"),
    "unused": Case("output [c, d]", "output c", "E210", "6:9", "'d' is never read", "put it into the output"),
    "bad size": Case("x[6]", "x[0]", "E211", "2:11", "size x = 0", "number of units"),
    "two outputs": Case(
        "output [c, d]", "output [c, d]\n  output c", "E220", "8:3", "a second output", "[a, b]"
    ),
    "size of a layer": Case(
        "I=14",
        "I=13",
        "E225",
        "4:37",
        "reads 14 values a step, and takes 13 (I=13): a (line 3) has 8, x (line 2) has 6",
        "write I=14",
    ),
    "sizes of inputs": Case(
        "A(I=14, H=8)",
        "Two(I=8, J=7, H=8)",
        "E225",
        "4:43",
        "takes 15 (I=8, J=7)",
        "side by side are I=8, J=7",
    ),
    "sizes of a sum": Case("a + b", "a + x", "E225", "5:28", "a (line 3) has 8, x (line 2) has 6", "[a, b]"),
    "no input": Case(CIRCLE_OF, CIRCLE, "E227", "1:7", "no input", "input x[40]"),
    "no output": Case("  output [c, d]\n", "", "E227", "1:7", "no output", "output d"),
    "nothing read": Case(" on a + b", "", "E227", "5:3", "layer 'c' reads nothing", "such as 'on b'"),
    "cannot share": Case(
        "A(I=8, H=8) shares c on c",
        "A(I=8, H=9) shares c on c",
        "E228",
        "6:32",
        "'c' is A(I=8, H=8) (line 5), 'd' is A(I=8, H=9)",
        "same cell and sizes",
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_layers_that_cannot_be_joined(case: Case) -> None:
    assert MODEL.count(case.old) >= 1
    first = CELLS.count("\n")
    found = errors(CELLS + MODEL.replace(case.old, case.new, 1))
    chosen = [d for d in found if d.code == case.code]
    assert chosen, [d.code for d in found]
    line, column = map(int, case.place.split(":"))
    assert (chosen[0].span.line - first, chosen[0].span.column) == (line, column)
    said = f"{chosen[0].message}: {chosen[0].label}"
    where = case.said
    for number in range(2, 7):
        where = where.replace(f"line {number}", f"line {number + first}")
    assert where in said
    assert case.fix in chosen[0].help


def test_a_layer_below_is_to_be_moved() -> None:
    source = MODEL.replace("on a + b\n", "on e\n").replace(
        "  output", "  layer e = A(I=8, H=8) on b\n  output"
    )
    found = errors(CELLS + source)
    assert [d.code for d in found] == ["E208"]
    assert "move layer 'e' above" in found[0].help


def test_every_code_is_tested() -> None:
    assert {"E225", "E226", "E227", "E228"} <= {c.code for c in CASES.values()}


EMBEDDED = MODEL.replace("input x[6]", "input n[1]\n  embedding x[50, 6] on n")


def test_an_embedding_is_a_stream_of_rows() -> None:
    m = network(CELLS + EMBEDDED)
    assert m.embeddings == (n.Embedding("x", 50, 6),) and m.input == n.Stream("n", 1)
    assert m.layers[0].operand == n.Stream("x", 6)


@pytest.mark.parametrize(
    ("old", "new", "code", "said"),
    [
        ("input n[1]", "input n[2]", "E225", "cannot read 'n'"),
        ("[50, 6] on n", "[50, 6] on a", "E225", "cannot read 'a'"),
        ("x[50, 6]", "x[0, 6]", "E211", "x[0, 6] is not possible"),
        ("x[50, 6]", "x[50, 1.5]", "E211", "x[50, 1.5] is not possible"),
        ("x[50, 6]", "x[50, 7]", "E225", "reads 7 values a step, and takes 6"),
        ("embedding x[50, 6] on n", "embedding n[50, 6] on n", "E202", "the name 'n' is taken"),
        ("layer b", "embedding x[3, 6] on n\n  layer b", "E202", "the name 'x' is taken"),
        ("layer d", "embedding z[3, 6] on n\n  layer d", "E210", "'z' is never read"),
    ],
)
def test_embeddings_that_cannot_be(old: str, new: str, code: str, said: str) -> None:
    assert old in EMBEDDED
    found = [d for d in errors(CELLS + EMBEDDED.replace(old, new)) if d.code == code]
    assert found and said in found[0].message and found[0].help


@pytest.mark.parametrize("path", MODELS, ids=lambda p: p.stem)
def test_what_is_printed_means_the_same(path: Path) -> None:
    m = network(path.read_text())
    assert network(print_network(m)) == m


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_check_raises_nothing_but_compile_errors(data: st.DataObject) -> None:
    """A model with a piece cut out or written twice is a good program or a diagnosed one."""
    text = CELLS + MODEL
    first = data.draw(st.integers(len(CELLS), len(text)))
    last = data.draw(st.integers(first, min(len(text), first + 40)))
    middle = data.draw(st.sampled_from(["", text[first:last] * 2, "a", "0", "x", " + c"]))
    try:
        check_program(parse(text[:first] + middle + text[last:]))
    except CompileError as error:
        assert all(d.help for d in error.diagnostics)
