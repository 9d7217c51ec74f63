"""An input for whoever gives none."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sprnnc.diagnostics import fail
from sprnnc.machine import memory_bytes
from sprnnc.network_artifact import Compiled, NetworkArtifact

DEFAULT_STEPS = 64


def random_input(artifact: Compiled, steps: int, seed: int) -> NDArray[np.float32]:
    """Standard normal float32 [steps, batch, input size]; whole numbers where they choose rows of a table."""
    if steps < 1:
        raise fail("E604", f"cannot run {steps} steps", help="give --steps 1 or more")
    step_bytes = 4 * artifact.manifest.batch * (artifact.manifest.input_size + artifact.manifest.output_size)
    fitting = memory_bytes() // step_bytes
    if steps > fitting:
        raise fail(
            "E406",
            f"input and output of {steps} steps do not fit this machine's memory",
            help=f"up to {fitting} steps would",
        )
    shape = (steps, artifact.manifest.batch, artifact.manifest.input_size)
    rng = np.random.default_rng(seed)
    if isinstance(artifact, NetworkArtifact) and artifact.network.embeddings:
        fewest = min(e.rows for e in artifact.network.embeddings)
        return rng.integers(0, fewest, shape).astype(np.float32)
    return rng.standard_normal(shape, dtype=np.float32)
