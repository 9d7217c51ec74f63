"""A source with other patterns is the same source otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

from sprnnc.language.check import check
from sprnnc.language.parse import parse
from sprnnc.pruning.declare import declare
from sprnnc.sparsity.patterns import Dense, Unstructured, WithDiagonal

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.sprnn"))
TEXT = """\
cell Other(H) { input x[H]
  state h[H]
  weight U[H, H]
  h' = U @ h + x
  output h'
}
cell C(I, H) {  # weight U
  input  x[I]
  state  h[H]
  weight W[H, I], U[H, H], V[H, H]  sparse(0.5)  # three, a weight each
  weight p[H], D[
    H, H]
  h' = tanh(W @ x + U @ h + V @ h + D @ h) * p
  output h'
}
model m { layer main = C(I=4, H=4) }
"""


def test_lines_are_split_and_joined_and_comments_stay() -> None:
    patterns = {"U": Unstructured(0.25), "V": Unstructured(0.25), "D": WithDiagonal(Unstructured(0.1))}
    assert declare(TEXT, "C", patterns) == TEXT.replace(
        "  weight W[H, I], U[H, H], V[H, H]  sparse(0.5)  #",
        "  weight W[H, I]  sparse(0.5)\n  weight U[H, H], V[H, H]  sparse(0.25)  #",
    ).replace("weight p[H], D[\n    H, H]", "weight p[H]\n  weight D[\n    H, H]  sparse(0.1) + diagonal")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_examples_keep_everything_but_what_is_declared(path: Path) -> None:
    text = path.read_text()
    before = check(parse(text)).cell
    for weight in before.weights:
        other = check(parse(declare(text, before.name, {weight.name: Unstructured(0.125)}))).cell
        assert other.equations == before.equations
        for w in other.weights:
            wanted = Unstructured(0.125) if w.name == weight.name else before.weight(w.name).pattern
            assert w.pattern == wanted


def test_dense_is_a_pattern_to_write_too() -> None:
    assert "weight U[H, H], V[H, H]  dense" in declare(TEXT, "C", {"U": Dense(), "V": Dense()})
