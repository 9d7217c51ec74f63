"""What is exported and checked: every example cell and model, and three layers of sizes that people use."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import sprnnc
from benchmarks.cells import CellKind, Mode, cell_text
from sprnnc.export.self_test import numbers
from sprnnc.network_artifact import Compiled

_FOLDER = Path(__file__).parents[1] / "examples"
EXAMPLES = [*sorted(_FOLDER.glob("*.sprnn")), *sorted((_FOLDER / "models").glob("*.sprnn"))]
BATCH, SEED = 4, 7
_MODELS = ((CellKind.LSTM, 1024), (CellKind.GRU, 2048), (CellKind.RNN, 2304))


@dataclass(frozen=True, slots=True)
class ExportCase:
    """A model's text (or file) and its storage type; ``name`` is unique, and the name of a folder."""

    name: str
    source: str | Path
    dtype: str

    def compile(self, target: str) -> Compiled:
        return sprnnc.compile(self.source, random_weights=SEED, batch=BATCH, target=target, dtype=self.dtype)


def export_cases() -> list[ExportCase]:
    """The models, at a density of a tenth, come first: they take longest to build."""
    models = [
        ExportCase(f"{kind.name.lower()}_{hidden}", _text(kind, hidden), "fp16") for kind, hidden in _MODELS
    ]
    return models + [ExportCase(path.stem, path, "fp32") for path in EXAMPLES]


def draw(artifact: Compiled, steps: int) -> NDArray[Any]:
    """Inputs of the model, float32 [steps, batch, input size]."""
    rng, most = np.random.default_rng(SEED), numbers(artifact)
    shape = (steps, artifact.manifest.batch, artifact.manifest.input_size)
    return (rng.integers(most, size=shape) if most else rng.standard_normal(shape)).astype(np.float32)


def chosen(names: list[str]) -> list[ExportCase]:
    """Those whose name holds one of ``names``; all where there is none."""
    return [c for c in export_cases() if not names or any(n in c.name for n in names)]


def _text(kind: CellKind, hidden: int) -> str:
    return cell_text(kind, Mode.RECURRENT, hidden, "fp16").replace("as_stored", "sparse(0.1)")
