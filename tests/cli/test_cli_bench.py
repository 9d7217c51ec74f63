"""``sprnnc bench``; the GPU is played by a layer that knows its times."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import sprnn_runtime
from sprnn_runtime.errors import Unavailable

from sprnnc import measurement
from sprnnc.cli import bench


class TimedLayer:
    """Answers like a Layer on a GPU; remembers what it was asked to time."""

    device_name = "cuda"
    hardware = "a GPU"
    manifest = SimpleNamespace(batch=2, input_size=4)

    def __init__(self) -> None:
        self.asked: tuple[np.ndarray, int] | None = None
        self.closed = False

    def time_us(self, x: np.ndarray, repeats: int) -> list[float]:
        self.asked = (x, repeats)
        return [3.0, 1.0, 2.5]

    def __enter__(self) -> TimedLayer:
        return self

    def __exit__(self, *_: object) -> None:
        self.closed = True


@pytest.fixture
def layer(monkeypatch: pytest.MonkeyPatch) -> TimedLayer:
    made = TimedLayer()

    def load(path: Path, device: str) -> Any:
        assert device == "cuda"
        return made

    monkeypatch.setattr(sprnn_runtime, "load", load)
    return made


def test_median_low_and_high_are_shown(sprnnc, artifact, layer):
    result = sprnnc("bench", artifact, "--steps", "7", "--repeats", "3")
    assert result.code == 0, result.err
    assert result.out.splitlines() == [
        "device   cuda",
        "steps    7",
        "batch    2",
        "repeats  3",
        "median   2.500 us a step",
        "low      1.000 us a step",
        "high     3.000 us a step",
    ]
    x, repeats = layer.asked
    assert (x.shape, x.dtype, repeats) == ((7, 2, 4), np.float32, 3)
    assert layer.closed


def test_the_defaults(sprnnc, artifact, layer):
    assert sprnnc("bench", artifact).code == 0
    x, repeats = layer.asked
    assert (len(x), repeats) == (bench.DEFAULT_STEPS, bench.DEFAULT_REPEATS)


@pytest.mark.parametrize("option", ["steps", "repeats"])
def test_counts_that_cannot_be(sprnnc, artifact, option):
    result = sprnnc("bench", artifact, f"--{option}", "0")
    assert result.code == 1
    assert f"error[E604]: cannot time 0 {option}" in result.err
    assert f"--{option} 1 or more" in result.err


def test_without_a_gpu_it_says_where_to_measure(sprnnc, artifact, monkeypatch):
    def load(path: Path, device: str) -> Any:
        raise Unavailable("E602", "no usable GPU", "use device='sim'")

    monkeypatch.setattr(sprnn_runtime, "load", load)
    result = sprnnc("bench", artifact)
    assert result.code == 1
    assert "error[E602]: no usable GPU" in result.err
    assert "NVIDIA GPU" in result.err
    assert "sim" not in result.err


def test_an_artifact_without_gpu_code_says_so(sprnnc, artifact):
    result = sprnnc("bench", artifact)
    assert result.code == 1
    assert "error[E608]" in result.err
    assert "--target" in result.err


def test_the_simulator_keeps_no_time(sprnnc, artifact):
    assert sprnnc("bench", artifact, "--device", "sim").code == 2


def test_what_was_measured_is_saved_beside_the_artifact_and_explained(sprnnc, artifact, layer):
    assert "not yet" in sprnnc("explain", artifact).out
    assert sprnnc("bench", artifact, "--steps", "7", "--save").code == 0
    found = measurement.find(artifact)
    assert (found.median_us, found.low_us, found.high_us) == (2.5, 1.0, 3.0)
    assert (found.device, found.steps, found.repeats) == ("a GPU", 7, 3)
    assert "measured          2.500  (1.000 to 3.000) on a GPU, 7 steps" in sprnnc("explain", artifact).out


def test_nothing_is_saved_unasked(sprnnc, artifact, layer):
    assert sprnnc("bench", artifact).code == 0
    assert not measurement.file_beside(artifact).exists()


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"artifact": "0", "steps": null}'])
def test_a_damaged_measurement_is_none(sprnnc, artifact, text):
    measurement.file_beside(artifact).write_text(text)
    assert measurement.find(artifact) is None


def test_the_measurement_of_another_artifact_is_none(sprnnc, artifact, layer):
    assert sprnnc("bench", artifact, "--save").code == 0
    again = ["--random-weights", "1", "--target", "sim", "--batch", "2", "-o", artifact]
    assert sprnnc("compile", "tiny.sprnn", *again).code == 0
    assert "not yet" in sprnnc("explain", artifact).out
