"""Which products need an exchange, which leave the loop, and in which order a step computes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sprnnc.diagnostics import InternalError
from sprnnc.language.check import check
from sprnnc.language.parse import parse
from sprnnc.passes.phases import print_recurrence, split_into_phases, verify
from sprnnc.passes.recurrence import Recurrence

EXAMPLES = Path(__file__).parents[2] / "examples"


def lower(text: str) -> Recurrence:
    return split_into_phases(check(parse(text), source=text).cell)


def example(name: str) -> Recurrence:
    return lower((EXAMPLES / f"{name}.sprnn").read_text())


def cell(body: str) -> Recurrence:
    return lower(f"cell C(H) {{\n{body}\n}}\nmodel m {{ layer main = C(H=8) }}\n")


@pytest.mark.parametrize(
    ("name", "phases"),
    [
        ("elman_tanh", 1),
        ("elman_relu", 1),
        ("lstm", 1),
        ("peephole_lstm", 1),
        ("gru_reset_after", 1),
        ("slstm", 1),
        ("gated_oscillator", 1),
        ("gru_reset_before", 2),
        ("lstm_projection", 2),
    ],
)
def test_number_of_exchanges(name: str, phases: int) -> None:
    assert len(example(name).phases) == phases


def test_gates_that_read_one_vector_are_stacked() -> None:
    lstm = example("lstm")
    assert [p.weight for p in lstm.phases[0].products] == ["Ui", "Uf", "Ug", "Uo"]
    assert [v.name for v in lstm.phases[0].published] == ["h"]
    (stack,) = lstm.input_products
    assert [p.weight for p in stack.parts] == ["Wi", "Wf", "Wg", "Wo"]
    assert [p.first_row for p in stack.parts] == [0, 64, 128, 192]


def test_two_vectors_of_one_phase_share_the_exchange() -> None:
    (phase,) = example("gated_oscillator").phases
    assert [v.name for v in phase.published] == ["y", "z"]
    assert phase.columns == 128
    assert phase.first_column("z") == 64


def test_the_operand_of_a_second_phase_is_computed_by_its_owners() -> None:
    gru = example("gru_reset_before")
    (vector,) = gru.phases[1].published
    (definition,) = [e for e in gru.equations if e.equation.target == vector.name]
    assert definition.level == 1


def test_one_product_used_twice_is_computed_once() -> None:
    r = cell("input x[H]\nstate h[H]\nweight U[H, H]\na = U @ h\nh' = tanh(U @ h + a + x)\noutput h'")
    assert [p.weight for p in r.phases[0].products] == ["U"]


def test_a_chain_of_input_products_leaves_the_loop() -> None:
    r = cell(
        "input x[H]\nstate h[H]\nweight V[H, H], W[H, H], U[H, H]\n"
        "e = relu(V @ x)\nh' = tanh(U @ h + W @ (e + 1))\noutput h'"
    )
    assert [part.weight for p in r.input_products for part in p.parts] == ["V", "W"]
    assert len(r.phases) == 1
    assert "e" not in [e.equation.target for e in r.equations]


def test_definitions_over_inputs_are_listed_once_and_in_order() -> None:
    r = cell(
        "input x[H]\nstate h[H]\nbias b[H]\nweight V[H, H], W[H, H], U[H, H]\n"
        "a = x + b\nunused = x * 2\nc = a * a\nd = c - a\nsame = d\n"
        "h' = tanh(U @ h + W @ d + V @ same + unused)\noutput h'"
    )
    (stack,) = r.input_products
    assert [e.target for e in stack.definitions] == ["a", "c", "d"]
    assert [part.weight for part in stack.parts] == ["W", "V"]


def doublings(count: int, first: str) -> str:
    """An equation that reads the one before twice, ``count`` times."""
    lines = [f"a0 = {first} + {first}", *(f"a{i} = tanh(a{i - 1} + a{i - 1})" for i in range(1, count))]
    return "\n".join(lines)


@pytest.mark.parametrize("first", ["x", "h"])
def test_2000_chained_equations_take_linear_time(first: str) -> None:
    r = cell(
        f"input x[H]\nstate h[H]\nweight W[H, H], U[H, H]\n{doublings(2000, first)}\n"
        "h' = tanh(U @ h + W @ a1999 + x)\noutput h'"
    )
    listed = [e for p in r.input_products for e in p.definitions] or r.equations
    assert 2000 <= len(listed) <= 2001


def test_a_cell_without_recurrent_products_has_no_phase() -> None:
    r = cell("input x[H]\nstate h[H]\nbias u[H]\nh' = tanh(u * h + x)\noutput h'")
    assert r.phases == ()
    assert [e.level for e in r.equations] == [0]


def test_three_products_in_a_row_need_three_phases() -> None:
    r = cell(
        "input x[H]\nstate h[H]\nweight U[H, H], V[H, H]\nh' = tanh(U @ tanh(V @ tanh(U @ h)) + x)\noutput h'"
    )
    assert [phase.products[0].weight for phase in r.phases] == ["U", "V", "U"]


@pytest.mark.parametrize("value", ["U @ (W @ h) + x", "U @ U @ h + W @ x", "U @ (W @ h) + W @ (W @ h) + x"])
def test_a_product_of_a_product_is_published_by_an_equation(value: str) -> None:
    r = cell(f"input x[H]\nstate h[H]\nweight U[H, H], W[H, H]\nh' = tanh({value})\noutput h'")
    assert len(r.phases) == 2
    (vector,) = r.phases[1].published
    assert [e.level for e in r.equations if e.equation.target == vector.name] == [1]


def test_the_printed_recurrence_is_in_step_order() -> None:
    text = print_recurrence(example("lstm_projection"))
    order = ["before the loop", "phase 1: publish h", "c' =", "phase 2: publish", "h' =", "output"]
    places = [text.index(words) for words in order]
    assert places == sorted(places)


LINEAR = "input x[H]\nstate h[H]\nweight U[H, H], W[H, H]\n"


@pytest.mark.parametrize(
    "equations",
    [
        "W_x = W @ x\nh' = tanh(U @ h + W_x)",
        "a = U @ h\nU_h = 3 * a + 1\nh' = tanh(W @ x + U_h + U @ h)",
        "a = U @ (2 * h)\nU_operand = a + 1\nh' = tanh(U_operand + W @ x)",
        "h' = tanh(U @ h + W @ x)\nU_h = h' + 1\nW_x = U_h * x",
    ],
)
def test_a_generated_name_is_never_one_of_the_cell(equations: str) -> None:
    r = cell(LINEAR + equations + "\noutput h'")
    products = [p.name for phase in r.phases for p in phase.products]
    products += [part.name for p in r.input_products for part in p.parts]
    theirs = {e.target for e in r.cell.equations}
    assert not theirs & set(products)


def test_two_values_of_one_name_are_refused() -> None:
    r = cell(LINEAR + "a = x + 1\nh' = tanh(U @ h + W @ x + a)\noutput h'")
    with pytest.raises(InternalError, match="two values are called a"):
        verify(replace(r, equations=(*r.equations, r.equations[0])))
