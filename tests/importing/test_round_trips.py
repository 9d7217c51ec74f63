"""Whole stacks of random configurations as kernels, beside PyTorch's documented equations in float64."""

from __future__ import annotations

import numpy as np
import pytest
from pytorch_state import documented, random_state

import sprnnc
from benchmarks.random_modules import draw, make_input
from benchmarks.round_trips import summary
from sprnnc.importing import ImportedLayer, from_state_dict, run_stack

NUMBERS = (2, 4, 7, 12)  # all kinds, a projection, both directions, uneven lengths


@pytest.mark.parametrize("number", NUMBERS)
def test_a_stack_of_kernels_computes_what_the_documentation_says(number: int) -> None:
    c = draw(number, 10)
    kind = c.nonlinearity or c.kind
    state = random_state(
        kind, c.inputs, c.hidden, layers=c.layers, both=c.bidirectional, bias=c.bias, projection=c.projection
    )
    x = make_input(c)

    def run(layer: ImportedLayer, x: np.ndarray) -> np.ndarray:
        artifact = sprnnc.compile(layer.source, weights=layer.tensors, batch=c.batch, target="sim")
        return sprnnc.execute(artifact, x.astype(np.float32), device="sim", seed=number).y

    y = run_stack(from_state_dict(state, c.nonlinearity or None), x, run, c.lengths or None)
    for column in range(c.batch):
        length = c.lengths[column] if c.lengths else c.steps
        expected = documented(kind, state, x[:length, [column]].astype(np.float64))
        np.testing.assert_allclose(y[:length, [column]], expected, rtol=1e-5, atol=1e-6)
        assert not y[length:, column].any()


def test_the_draws_cover_what_a_module_can_be() -> None:
    drawn = [draw(n) for n in range(200)]
    assert len({(c.kind, c.bidirectional, c.bias) for c in drawn}) == 3 * 2 * 2
    assert len({(c.kind, c.layers, c.batch_first) for c in drawn}) == 3 * 3 * 2
    chosen = [draw(n, 10) for n in NUMBERS]
    for some in (drawn, chosen):
        assert {c.kind for c in some} == {"LSTM", "GRU", "RNN"}
        assert any(c.projection for c in some) and any(c.lengths for c in some)
        assert {c.bidirectional for c in some} == {c.batch_first for c in some} == {False, True}
    assert draw(7) == draw(7) and draw(7) != draw(8)


def test_a_summary_names_the_worst() -> None:
    rows = [
        {"errors": {"module": 1e-7, "onnx": 3e-7}, "bound": 1e-6, "agrees": True},
        {"errors": {"module": 2e-6}, "bound": 1e-6, "agrees": False},
    ]
    assert summary(rows) == {
        "configurations": 2,
        "agree": 1,
        "imported": {"module": 2, "onnx": 1},
        "worst": {"module": 2e-6, "onnx": 3e-7},
        "worst_of_bound": 2.0,
    }
