"""One small LSTM for the tests of the runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sprnnc

EXAMPLES = Path(__file__).parents[2] / "examples"
STEPS, BATCH = 12, 2


def compile_lstm(**schedule: Any) -> sprnnc.Artifact:
    """Always the same layer, for device ``sim``; ``schedule`` overrides decisions."""
    return sprnnc.compile(
        EXAMPLES / "lstm.sprnn",
        random_weights=3,
        batch=BATCH,
        target="sim",
        sizes={"I": 10, "H": 40},
        schedule={"blocks": 2, "threads": 64, **schedule},
    )
