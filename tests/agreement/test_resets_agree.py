"""Columns that begin anew in mid-sequence, on every executor, for layers and networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn import CELLS, LIMIT
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sprnn_runtime import InputError
from sprnn_runtime.layer import Layer, open_layer
from sprnn_runtime.network import open_network

import sprnnc
from sprnnc.executors import relative_error

EXAMPLES = Path(__file__).parents[2] / "examples"
SOURCES = [EXAMPLES / f"{cell}.sprnn" for cell in CELLS]
SOURCES += [EXAMPLES / f"models/{name}.sprnn" for name in ("residual", "three_cells")]
FORWARD = [p for p in SOURCES if " reverse" not in p.read_text(encoding="utf-8")]


def compiled(path: Path, batch: int = 3, **schedule: Any) -> Any:
    options = {"resets": "by_mask", "steps_per_launch": 4} | schedule
    return sprnnc.compile(path, random_weights=5, batch=batch, target="sim", schedule=options)


def opened(artifact: Any) -> Layer:
    is_network = isinstance(artifact, sprnnc.NetworkArtifact)
    return (open_network if is_network else open_layer)(artifact.loaded(), "sim")


def draw(artifact: Any, steps: int, batch: int, seed: int = 1) -> np.ndarray:
    size = artifact.manifest.input_size
    return np.random.default_rng(seed).standard_normal((steps, batch, size)).astype(np.float32)


@pytest.mark.parametrize("path", FORWARD, ids=lambda p: p.stem)
@settings(max_examples=2, phases=(Phase.generate,), suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_column_begins_anew_where_its_mask_is_set(path: Path, data: st.DataObject) -> None:
    schedule = {"resets": "by_mask", "exchange": data.draw(st.sampled_from(["lamport", "barrier"]))}
    schedule["steps_per_launch"] = data.draw(st.sampled_from([3, 64]), label="steps a launch")
    artifact = sprnnc.compile(path, random_weights=5, batch=3, target="sim", schedule=schedule)
    steps, batch = data.draw(st.integers(1, 9), label="steps"), data.draw(st.integers(1, 3), label="columns")
    x = draw(artifact, steps, batch)
    rng = np.random.default_rng(data.draw(st.integers(0, 99), label="seed"))
    resets = rng.random((steps, batch)) < 0.3
    sizes = {s.name: s.size for s in artifact.manifest.states}
    # sLSTM divides by a state, which is a sum of exponentials: near zero a rounding would count for much.
    state = {name: rng.uniform(0.5, 1.5, (batch, n)).astype(np.float32) for name, n in sizes.items()}
    lengths = data.draw(st.none() | st.lists(st.integers(0, steps), min_size=batch, max_size=batch))
    options: dict[str, Any] = {"lengths": lengths, "resets": resets}
    expected = sprnnc.execute(artifact, x, state, device="reference", **options)
    for device in ("plan", "sim"):
        run = sprnnc.execute(artifact, x, state, device=device, **options)
        assert relative_error(run.y, expected.y) < LIMIT["fp32"]
        for name, value in expected.state.items():
            assert relative_error(run.state[name], value) < LIMIT["fp32"]


@pytest.mark.parametrize("path", FORWARD[-1:] + FORWARD[:1], ids=lambda p: p.stem)
def test_each_episode_is_as_it_is_alone(path: Path) -> None:
    artifact = compiled(path)
    x = draw(artifact, 11, 3)
    resets = np.zeros((11, 3), bool)
    resets[5, 0] = resets[9, 0] = resets[4, 1] = resets[0, 2] = True
    with opened(artifact) as layer:
        y, after = layer(x, resets=resets)
        for column, begin, end in [(0, 0, 5), (0, 5, 9), (0, 9, 11), (1, 4, 11), (2, 0, 11)]:
            one = slice(column, column + 1)
            alone, last = layer(x[begin:end, one].copy())
            np.testing.assert_array_equal(y[begin:end, one], alone)
            if end == 11:
                for name, value in last.items():
                    np.testing.assert_array_equal(after[name][one], value)


@pytest.mark.parametrize("path", FORWARD[-1:] + FORWARD[:1], ids=lambda p: p.stem)
def test_chunks_of_a_stream_begin_anew_as_a_call_does(path: Path) -> None:
    artifact = compiled(path)
    x = draw(artifact, 10, 3)
    resets = np.random.default_rng(3).random((10, 3)) < 0.3
    resets[2:4] = False
    with opened(artifact) as layer:
        expected, _ = layer(x, resets=resets)
        stream = layer.stream()
        parts = [stream(x[:2], resets=resets[:2]), stream(x[2:4]), stream(x[4:], resets=resets[4:])]
        np.testing.assert_array_equal(np.concatenate(parts), expected)


def test_kernels_know_of_resets_only_where_they_are_asked_for() -> None:
    path = EXAMPLES / "lstm.sprnn"
    without = sprnnc.compile(path, random_weights=5, target="sim")
    assert "char* resets" not in without.kernel_source and "anew" not in without.kernel_source
    assert "char* resets" in compiled(path).kernel_source
    x = draw(without, 3, 1)
    for device in ("reference", "plan", "sim"):
        with pytest.raises(InputError, match=r"E604.*takes no resets") as error:
            sprnnc.execute(without, x, resets=np.zeros((3, 1), bool), device=device)
        assert "resets = by_mask" in str(error.value)


@pytest.mark.parametrize("resets", [np.zeros((3, 2), bool), np.zeros((3, 1), np.float32), [[1]], "no"])
def test_a_mask_that_cannot_be(resets: Any) -> None:
    artifact = compiled(EXAMPLES / "lstm.sprnn", batch=1)
    with pytest.raises(InputError, match=r"E604.*expected bool or uint8 \[3, 1\]"):
        sprnnc.execute(artifact, draw(artifact, 3, 1), resets=resets, device="sim")


def test_a_network_begins_anew_as_a_whole_and_in_the_order_of_time() -> None:
    with pytest.raises(sprnnc.CompileError, match=r"E404.*is reversed"):
        compiled(EXAMPLES / "models/bidirectional.sprnn")
    with pytest.raises(sprnnc.CompileError, match=r"E404.*layer '\w+' has resets = none"):
        sprnnc.compile(
            EXAMPLES / "models/residual.sprnn",
            random_weights=5,
            target="sim",
            schedule={"lower.resets": "by_mask"},
        )
