"""Products of the inputs join the loop, where nothing needs them before a block waits."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sprnnc.language.check import check
from sprnnc.language.parse import parse
from sprnnc.passes.join_inputs import join_inputs
from sprnnc.passes.phases import print_recurrence, split_into_phases
from sprnnc.passes.recurrence import Recurrence

EXAMPLES = Path(__file__).parents[2] / "examples"
CELL = """
cell C(I, H) {{
{lines}
  output h'
}}
model m {{ layer main = C(I=3, H=4) }}
"""
NAMES = {
    "x": "input x[I]",
    "y": "input y[H]",
    "h": "state h[H]",
    "W": "weight W[H, I]",
    "V": "weight V[H, H]",
    "U": "weight U[H, H]",
    "b": "bias b[H]",
}


def recurrence(source: str) -> Recurrence:
    return split_into_phases(check(parse(source), source=source).cell)


def cell(equations: str) -> Recurrence:
    """The recurrence of ``equations``, with what they read declared."""
    words = set(re.findall(r"\w+", equations))
    lines = [declaration for name, declaration in NAMES.items() if name in words]
    return recurrence(CELL.format(lines="\n".join([*lines, equations])))


def joined(equations: str) -> Recurrence:
    return join_inputs(cell(equations))


def test_all_gates_join_in_one_phase_after_the_exchanges() -> None:
    before = recurrence((EXAMPLES / "gru_reset_before.sprnn").read_text())
    after = join_inputs(before)
    assert [p.joined for p in after.phases] == [False, False, True]
    assert after.exchanges == before.phases and after.input_products == ()
    assert after.joined is not None
    assert [(p.weight, p.operand) for p in after.joined.products] == [("Wz", "x"), ("Wr", "x"), ("Wn", "x")]
    assert "while a block waits for phase 1:\n    Wz_x[H] = Wz @ x" in print_recurrence(after)


def test_an_equation_of_a_joined_product_waits_for_phase_1() -> None:
    after = joined("  a = W @ x + b\n  c = y + b\n  d = a * c\n  h' = tanh(d + U @ h + V @ y)")
    assert {e.equation.target: e.level for e in after.equations} == {"a": 1, "c": 0, "d": 1, "h'": 1}
    assert [p.vector for p in after.joined_products] == ["x", "y"]


def test_what_phase_1_publishes_is_computed_before_it() -> None:
    after = joined("  a = sigmoid(W @ x)\n  h' = tanh(U @ (a * h) + V @ y)")
    assert [p.vector for p in after.input_products] == ["x"]
    assert [p.vector for p in after.joined_products] == ["y"]


def test_a_product_that_another_one_reads_stays_before_the_loop() -> None:
    after = joined("  a = W @ x\n  h' = tanh(V @ relu(a) + U @ h)")
    assert [p.parts[0].weight for p in after.input_products] == ["W"]
    (product,) = after.joined_products
    assert (product.parts[0].weight, product.vector) == ("V", "inputs_2")
    assert [e.target for e in product.definitions] == ["a"]


@pytest.mark.parametrize("equations", [
    "  h' = tanh(W @ x + b) + h",
    "  h' = tanh(U @ h + y)",
    "  h' = tanh(U @ (h + W @ x) + y)",
])  # fmt: skip
def test_where_nothing_can_join_nothing_changes(equations: str) -> None:
    before = cell(equations)
    assert join_inputs(before) is before
