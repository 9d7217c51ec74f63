"""Columns of different lengths, fewer columns than compiled, and any number of steps, on every executor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from drawn import CELLS, LIMIT, STEPS, cases
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sprnn_runtime import InputError
from sprnn_runtime.layer import open_layer

import sprnnc
from sprnnc.executors import relative_error

EXAMPLES = Path(__file__).parents[2] / "examples"
DEVICES = ["plan", "sim"]
TINY = """\
cell Tiny(H) {
  input  x[H]
  state  h[H]
  weight U[H, H] dense

  h' = tanh(0.5 * (U @ h) + x)
  output h'
}

model tiny {
  layer main = Tiny(H=4)
}
"""
DENSE = """\
cell Dense(I, H) {
  input  x[I]
  weight W[H, I]
  bias   b[H]
  y = W @ x + b
  output y
}

model dense {
  layer main = Dense(I=5, H=7)
}
"""


@pytest.mark.parametrize("cell", CELLS)
@settings(max_examples=2, phases=(Phase.generate,), suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_states_stay_and_outputs_are_zero_past_each_length(cell: str, data: st.DataObject) -> None:
    case = data.draw(cases(cell))
    batch = data.draw(st.integers(1, case.artifact.plan.batch), label="columns given")
    lengths = data.draw(st.lists(st.integers(0, STEPS), min_size=batch, max_size=batch), label="lengths")
    x = case.x[:, :batch].copy()
    for column, end in enumerate(lengths):
        x[end:, column] = np.nan  # nobody reads what lies past the end
    limit = LIMIT[case.artifact.manifest.dtype]
    expected = sprnnc.execute(case.artifact, x, lengths=lengths, device="reference")
    for column, end in enumerate(lengths):
        assert not expected.y[end:, column].any()
        if end:
            one = slice(column, column + 1)
            alone = sprnnc.execute(case.artifact, x[:end, one], device="reference")
            for name, value in alone.state.items():
                np.testing.assert_allclose(expected.state[name][one], value, rtol=1e-9, atol=1e-12)
        else:
            assert not any(value[column].any() for value in expected.state.values())
    for device in DEVICES:
        run = sprnnc.execute(case.artifact, x, lengths=lengths, device=device)
        assert relative_error(run.y, expected.y) < limit
        assert all(not run.y[end:, column].any() for column, end in enumerate(lengths))
        for name, value in expected.state.items():
            assert relative_error(run.state[name], value) < limit


@pytest.mark.parametrize("cell", CELLS)
def test_fewer_columns_give_the_bits_that_they_give_in_a_full_batch(cell: str) -> None:
    artifact = sprnnc.compile(EXAMPLES / f"{cell}.sprnn", random_weights=5, batch=6, target="sim")
    x = np.random.default_rng(1).standard_normal((9, 6, artifact.manifest.input_size)).astype(np.float32)
    with open_layer(artifact.loaded(), "sim") as layer:
        whole, states = layer(x)
        for batch in (1, 5):
            y, after = layer(x[:, :batch])
            np.testing.assert_array_equal(y, whole[:, :batch])
            for name, state in after.items():
                np.testing.assert_array_equal(state, states[name][:batch])


def test_a_call_without_lengths_does_not_know_of_those_before() -> None:
    artifact = sprnnc.compile(TINY, random_weights=1, batch=2, target="sim")
    x = np.random.default_rng(1).standard_normal((9, 2, 4)).astype(np.float32)
    with open_layer(artifact.loaded(), "sim") as layer:
        whole, states = layer(x)
        ended, _ = layer(x, lengths=[2, 0])
        again, after = layer(x)
    assert not ended[2:].any()
    np.testing.assert_array_equal(again, whole)
    np.testing.assert_array_equal(after["h"], states["h"])


def test_a_layer_without_states_ends_too() -> None:
    artifact = sprnnc.compile(DENSE, random_weights=1, batch=4, target="sim")
    x = np.random.default_rng(1).standard_normal((9, 4, 5)).astype(np.float32)
    for columns, lengths in ((4, [9, 0, 3, 5]), (3, None), (1, [4])):
        for device in DEVICES:
            run = sprnnc.execute(artifact, x[:, :columns], lengths=lengths, device=device, check=True)
            assert run.error is not None and run.error < LIMIT["fp32"]
            assert all(not run.y[end:, column].any() for column, end in enumerate(lengths or ()))


@pytest.mark.parametrize("exchange", ["lamport", "barrier"])
@pytest.mark.parametrize("steps", [1, 4, 5, 6, 11])
def test_lengths_count_from_the_first_launch(steps: int, exchange: str) -> None:
    schedule = {"steps_per_launch": 5, "exchange": exchange}
    artifact = sprnnc.compile(
        EXAMPLES / "gru_reset_before.sprnn", random_weights=5, batch=3, target="sim", schedule=schedule
    )
    x = np.random.default_rng(1).standard_normal((steps, 3, artifact.manifest.input_size)).astype(np.float32)
    lengths = [steps, steps - 1, max(steps - 5, 0)]
    run = sprnnc.execute(artifact, x, lengths=lengths, device="sim", check=True)
    assert run.error is not None and run.error < 1e-6
    reference = sprnnc.execute(artifact, x, lengths=lengths, device="reference")
    np.testing.assert_allclose(run.state["h"], reference.state["h"], atol=1e-6)


def test_a_hundred_thousand_steps_of_one_artifact() -> None:
    artifact = sprnnc.compile(
        TINY, random_weights=1, batch=1, target="sim", schedule={"blocks": 1, "threads": 32}
    )
    steps = 100_000
    assert steps > artifact.manifest.steps_per_launch
    x = np.random.default_rng(1).standard_normal((steps, 1, 4)).astype(np.float32)
    with open_layer(artifact.loaded(), "sim") as layer:
        y, state = layer(x)
        np.testing.assert_array_equal(layer(x[:1])[0], y[:1])
        more, _ = layer(x[:100], state)
    np.testing.assert_array_equal(state["h"], y[-1])
    expected = sprnnc.execute(artifact, x[:100], state, device="reference").y
    np.testing.assert_allclose(more, expected, atol=1e-5)


@pytest.mark.parametrize("device", ["reference", "plan", "sim"])
@pytest.mark.parametrize(
    "lengths", [[3], [3, 4, 5], [3, 13], [-1, 3], [1.5, 2.0], 3, "ab", [[3, 4]]], ids=repr
)
def test_lengths_that_cannot_be(lengths: object, device: str) -> None:
    artifact = sprnnc.compile(EXAMPLES / "lstm.sprnn", random_weights=5, batch=2, target="sim")
    x = np.zeros((12, 2, artifact.manifest.input_size), np.float32)
    with pytest.raises(InputError, match=r"lengths are .* expected 2 whole numbers from 0 to 12") as error:
        sprnnc.execute(artifact, x, lengths=lengths, device=device)  # type: ignore[arg-type]
    assert error.value.code == "E604"
