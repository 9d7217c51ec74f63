"""A GRU that others trained and pruned: unbalanced rows, 4 x 4 blocks, chaotic under a random input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import sprnnc
from benchmarks import first_light

ROOT = Path(__file__).parents[2]
WEIGHTS = ROOT.parent / "shared" / "data" / "lyra_wavernn_gru.npz"


@pytest.mark.skipif(not WEIGHTS.exists(), reason="the trained weights are not shipped")
@pytest.mark.parametrize(("device", "steps", "exchange"), [
    ("plan", 200, "lamport"), ("sim", 20, "lamport"), ("sim", 20, "barrier"),
])  # fmt: skip
def test_every_step_agrees_with_float64(device: str, steps: int, exchange: str) -> None:
    tensors = first_light.read_tensors(WEIGHTS)
    artifact = sprnnc.compile(
        first_light.CELL % 1024, weights=tensors, batch=1, target="sm_90", schedule={"exchange": exchange}
    )
    x = np.random.default_rng(0).standard_normal((steps, 1, 3 * 1024)).astype(np.float32)
    run = sprnnc.execute(artifact, x, device=device)
    assert first_light.step_error(artifact, x, run.y) < 1e-6
    if device == "sim":
        expected = sprnnc.execute(artifact, x, device="reference").y
        assert np.linalg.norm(run.y - expected) < 1e-5 * np.linalg.norm(expected)
