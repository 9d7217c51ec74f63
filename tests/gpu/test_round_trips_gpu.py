"""Random PyTorch modules, imported and run as whole stacks on the GPU; benchmarks/round_trips.py runs 200."""

from __future__ import annotations

import dataclasses

import pytest
from test_examples_gpu import target

from benchmarks import round_trips


@pytest.mark.parametrize("number", [2, 3, 4, 5, 9, 12])  # all kinds, projections, uneven lengths
@pytest.mark.filterwarnings("ignore")  # of the exporter
def test_a_random_module_agrees_with_torch(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("onnx")
    drawn = dataclasses.replace(round_trips.draw(number, 128), exporter="torchscript")
    monkeypatch.setattr(round_trips, "draw", lambda number, largest: drawn)
    row = round_trips.round_trip(number, round_trips.Options("cuda", target(), 128))
    assert row["agrees"], row
