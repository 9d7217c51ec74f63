"""The oracle against other implementations: the ONNX reference evaluator, and NumPy by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from sprnnc.cell.ir import Cell
from sprnnc.cell.reference import run_reference
from sprnnc.language.check import check
from sprnnc.language.parse import parse

EXAMPLES = Path(__file__).parents[2] / "examples"
T, B = 20, 3

Arrays = dict[str, NDArray[Any]]


def example(name: str, **sizes: int) -> Cell:
    return check(parse((EXAMPLES / f"{name}.sprnn").read_text()), sizes=sizes).cell


def random_weights(cell: Cell, rng: np.random.Generator) -> Arrays:
    """float32, dense: what a pattern leaves out does not matter to the equations."""
    arrays: Arrays = {
        w.name: rng.standard_normal((w.rows.size, w.cols.size)) / np.sqrt(w.cols.size) for w in cell.weights
    }
    arrays |= {p.name: rng.standard_normal(p.space.size) for p in cell.params}
    return {name: a.astype(np.float32) for name, a in arrays.items()}


def random_inputs(cell: Cell, rng: np.random.Generator) -> tuple[NDArray[Any], Arrays]:
    """x [T, B, I] and an initial state, float32."""
    x = rng.standard_normal((T, B, sum(v.space.size for v in cell.inputs))).astype(np.float32)
    return x, {s.name: rng.standard_normal((B, s.space.size)).astype(np.float32) for s in cell.states}


def relative_error(got: NDArray[Any], expected: NDArray[Any]) -> float:
    return float(np.linalg.norm(got - expected) / np.linalg.norm(expected))


def run_onnx(
    operator: str, inputs: Arrays, outputs: tuple[str, ...], **attributes: Any
) -> list[NDArray[Any]]:
    """One recurrent ONNX node, evaluated in float32."""
    node = helper.make_node(operator, list(inputs), list(outputs), **attributes)
    declared = [helper.make_tensor_value_info(n, TensorProto.FLOAT, a.shape) for n, a in inputs.items() if n]
    results = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in outputs]
    model = helper.make_model(helper.make_graph([node], "layer", declared, results))
    return list(ReferenceEvaluator(model).run(None, {n: a for n, a in inputs.items() if n}))


def stacked(weights: Arrays, *names: str) -> NDArray[Any]:
    """The named parameters below each other, with ONNX's leading axis of directions."""
    return np.concatenate([weights[n] for n in names])[None]


def test_lstm_agrees_with_onnx() -> None:
    rng = np.random.default_rng(1)
    cell = example("lstm", I=7, H=11)
    w = random_weights(cell, rng)
    x, state = random_inputs(cell, rng)
    bias = np.concatenate([stacked(w, "bi", "bo", "bf", "bg"), np.zeros((1, 44), np.float32)], axis=1)
    inputs = {
        "X": x,
        "W": stacked(w, "Wi", "Wo", "Wf", "Wg"),
        "R": stacked(w, "Ui", "Uo", "Uf", "Ug"),
        "B": bias,
        "": np.zeros(0),
        "h0": state["h"][None],
        "c0": state["c"][None],
    }
    y_onnx, h_onnx, c_onnx = run_onnx("LSTM", inputs, ("Y", "Yh", "Yc"), hidden_size=11)
    y, final = run_reference(cell, w, x, state)
    assert relative_error(y, y_onnx[:, 0]) < 1e-6
    assert relative_error(final["h"], h_onnx[0]) < 1e-6
    assert relative_error(final["c"], c_onnx[0]) < 1e-6


def test_gru_reset_after_agrees_with_onnx() -> None:
    rng = np.random.default_rng(2)
    cell = example("gru_reset_after", I=7, H=11)
    w = random_weights(cell, rng)
    x, state = random_inputs(cell, rng)
    w["zero"] = np.zeros(11, np.float32)
    inputs = {
        "X": x,
        "W": stacked(w, "Wz", "Wr", "Wn"),
        "R": stacked(w, "Uz", "Ur", "Un"),
        "B": stacked(w, "bz", "br", "bn", "zero", "zero", "bun"),
        "": np.zeros(0),
        "h0": state["h"][None],
    }
    y_onnx, h_onnx = run_onnx("GRU", inputs, ("Y", "Yh"), hidden_size=11, linear_before_reset=1)
    y, final = run_reference(cell, w, x, state)
    assert relative_error(y, y_onnx[:, 0]) < 1e-6
    assert relative_error(final["h"], h_onnx[0]) < 1e-6


def test_slstm_agrees_with_its_unstabilised_equations() -> None:
    """Beck et al. (2024), equations 8 to 14, one sequence at a time, without the stabiliser."""
    rng = np.random.default_rng(3)
    cell = example("slstm", I=5, H=8)
    w = {name: array.astype(np.float64) for name, array in random_weights(cell, rng).items()}
    x, _ = random_inputs(cell, rng)
    y, final = run_reference(cell, w, x)
    for sequence in range(B):
        h, c, n = np.zeros(8), np.zeros(8), np.zeros(8)
        for t in range(T):
            before = {g: w["W" + g] @ x[t, sequence] + w["R" + g] @ h + w["b" + g] for g in "zifo"}
            forget, write = 1 / (1 + np.exp(-before["f"])), np.exp(before["i"])
            c = forget * c + write * np.tanh(before["z"])
            n = forget * n + write
            h = c / n / (1 + np.exp(-before["o"]))
            assert relative_error(y[t, sequence], h) < 1e-12
        assert relative_error(final["n"][sequence] * np.exp(final["m"][sequence]), n) < 1e-12


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.sprnn")), ids=lambda p: p.stem)
def test_examples_run_from_zero_and_continue_from_their_own_state(path: Path) -> None:
    rng = np.random.default_rng(4)
    cell = example(path.stem)
    w = random_weights(cell, rng)
    x, _ = random_inputs(cell, rng)
    y, final = run_reference(cell, w, x)
    assert y.shape == (T, B, cell.output_space.size)
    assert np.isfinite(y).all()
    y1, middle = run_reference(cell, w, x[:7])
    y2, end = run_reference(cell, w, x[7:], middle)
    np.testing.assert_array_equal(np.concatenate([y1, y2]), y)
    for s in cell.states:
        np.testing.assert_array_equal(end[s.name], final[s.name])


def test_gated_oscillator_stays_bounded_and_forgets_its_start() -> None:
    rng = np.random.default_rng(5)
    cell = example("gated_oscillator", I=4, H=32)
    w = random_weights(cell, rng)
    for name in ("U", "V"):  # weak feedback: strong feedback may be chaotic, though bounded
        w[name] *= np.float32(0.2)
    x = rng.standard_normal((2000, 1, 4))
    elsewhere = {s.name: np.full((1, 32), 2.0) for s in cell.states}
    y, _ = run_reference(cell, w, x)
    y_elsewhere, _ = run_reference(cell, w, x, elsewhere)
    assert np.abs(y).max() < 2
    assert np.abs(y[-1] - y_elsewhere[-1]).max() < 1e-6


TWO_INPUTS = """\
cell A(I, J) {
  input  u[I], v[J]
  state  h[I]
  weight W[I, J]
  h' = h + u - W @ v
  output 2 * h'
}
model m { layer main = A(I=2, J=3) }
"""


def test_several_inputs_are_concatenated_in_the_order_of_declaration() -> None:
    cell = check(parse(TWO_INPUTS)).cell
    w = {"W": np.arange(6.0).reshape(2, 3)}
    u, v = np.ones((4, 1, 2)), np.ones((4, 1, 3))
    y, final = run_reference(cell, w, np.concatenate([u, v], axis=2))
    y_named, _ = run_reference(cell, w, {"v": v, "u": u})
    np.testing.assert_array_equal(y[:, 0, 0], [-4, -8, -12, -16])
    np.testing.assert_array_equal(y_named, y)
    np.testing.assert_array_equal(final["h"], y[-1] / 2)


def test_no_steps_give_the_initial_state_back() -> None:
    cell = check(parse(TWO_INPUTS)).cell
    start = np.ones((3, 2))
    y, final = run_reference(cell, {"W": np.zeros((2, 3))}, np.zeros((0, 3, 5)), {"h": start})
    assert y.shape == (0, 3, 2)
    np.testing.assert_array_equal(final["h"], start)
    assert not np.shares_memory(final["h"], start)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_and_inf_flow_through_what_is_connected(value: float) -> None:
    """Unit 0 reads v[0]; unit 1 has no weight for it and must not see 0 * NaN."""
    cell = check(parse(TWO_INPUTS)).cell
    w = {"W": np.array([[1.0, 1, 0], [0, 1, 1]])}
    x = np.ones((2, 1, 5))
    x[0, 0, 2] = value
    y, _ = run_reference(cell, w, x)
    np.testing.assert_array_equal(y[:, 0, 0], [-2 * value, -2 * value])
    np.testing.assert_array_equal(y[:, 0, 1], [-2, -4])


@pytest.mark.parametrize("size", [-800.0, 800.0])
def test_sigmoid_and_softplus_do_not_overflow(size: float) -> None:
    source = TWO_INPUTS.replace("h + u - W @ v", "sigmoid(u) + softplus(u) + 0 * W @ v")
    cell = check(parse(source)).cell
    x = np.full((1, 1, 5), size)
    y, _ = run_reference(cell, {"W": np.zeros((2, 3))}, x)
    np.testing.assert_allclose(y, 2 * (float(size > 0) + max(size, 0.0)), rtol=1e-15)


@pytest.mark.parametrize(
    ("weights", "x", "state", "message"),
    [
        ({}, np.zeros((1, 1, 5)), {}, "no array for 'W'"),
        ({"W": np.zeros((3, 2))}, np.zeros((1, 1, 5)), {}, r"'W': expected shape \(2, 3\), got \(3, 2\)"),
        ({"W": np.zeros((2, 3))}, np.zeros((1, 1, 4)), {}, r"x: expected \[T, B, 5\], got \(1, 1, 4\)"),
        ({"W": np.zeros((2, 3))}, {"u": np.zeros((1, 1, 2))}, {}, "no array for 'v'"),
        ({"W": np.zeros((2, 3))}, np.zeros((1, 1, 5)), {"c": np.zeros((1, 2))}, "no state"),
        ({"W": np.zeros((2, 3))}, np.zeros((1, 1, 5)), {"h": np.zeros((2, 2))}, "'h': expected shape"),
    ],
)
def test_wrong_arrays_are_refused(weights: Arrays, x: Any, state: Arrays, message: str) -> None:
    cell = check(parse(TWO_INPUTS)).cell
    with pytest.raises(ValueError, match=message):
        run_reference(cell, weights, x, state)
