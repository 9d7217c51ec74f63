"""Artifacts that were kept, with the machine code of their day, run on the GPU as in the simulator."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import sprnn_runtime
from test_examples_gpu import draw, target

KEPT = sorted((Path(__file__).parents[1] / "runtime/kept").glob("*.sprnnx"))


@pytest.mark.parametrize("path", KEPT, ids=lambda p: p.stem)
def test_one_that_was_kept_runs(path: Path) -> None:
    if target() != "sm_90":
        pytest.skip("its machine code is for sm_90")
    x = draw(12, 2, 12)
    with sprnn_runtime.load(path, "cuda") as layer, sprnn_runtime.load(path, "sim") as sim:
        (y, state), (wanted, _) = layer(x), sim(x)
    np.testing.assert_allclose(y, wanted, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(state["h"], y[-1])
