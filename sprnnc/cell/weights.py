"""Weights of a cell: the shapes it expects, whether tensors hold what it declares, random ones."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from sprnnc.cell.ir import Cell
from sprnnc.diagnostics import CompileError, Diagnostic

Tensor = NDArray[np.float32]


def expected_shapes(cell: Cell) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor that ``cell`` needs: matrices [rows, cols], vector parameters [size]."""
    shapes: dict[str, tuple[int, ...]] = {w.name: (w.rows.size, w.cols.size) for w in cell.weights}
    return shapes | {v.name: (v.space.size,) for v in cell.params}


def validate_weights(cell: Cell, tensors: Mapping[str, Tensor], allow_nan: bool = False) -> None:
    """Raises CompileError with E310 for NaN or Inf (unless allowed) and E311 for a broken pattern."""
    errors = []
    if not allow_nan:
        errors += [e for name, t in tensors.items() if (e := _not_finite(name, t))]
    for w in cell.weights:
        why = w.pattern.violation(tensors[w.name] != 0)
        if why:
            errors.append(
                Diagnostic(
                    "E311",
                    f"weight '{w.name}' is declared {w.pattern.describe()}: {why}",
                    w.span,
                    help="declare what the file holds, write as_stored to accept it, or prune again",
                )
            )
    if errors:
        raise CompileError(tuple(errors))


def _not_finite(name: str, tensor: Tensor) -> Diagnostic | None:
    bad = ~np.isfinite(tensor)
    if not bad.any():
        return None
    first = [int(i) for i in np.argwhere(bad)[0]]
    return Diagnostic(
        "E310",
        f"tensor '{name}' has {int(bad.sum())} values that are NaN or infinite, the first at {first}",
        help="mend the training run, or pass --allow-nan (allow_nan=True) if they are meant",
    )


def print_weights(tensors: Mapping[str, Tensor]) -> str:
    """Names, shapes and non-zeros, one tensor a line."""
    lines = [f"{n} {list(t.shape)}: {np.count_nonzero(t)} of {t.size} non-zero" for n, t in tensors.items()]
    return "\n".join(lines) + "\n"


def random_weights(cell: Cell, seed: int) -> dict[str, Tensor]:
    """Random tensors that have the declared patterns and keep the dynamics contractive.

    A tensor depends on the seed and its name alone, not on the order of declarations.
    """
    tensors: dict[str, Tensor] = {}
    for w in cell.weights:
        rng = np.random.default_rng([seed, zlib.crc32(w.name.encode())])
        mask = w.pattern.random_mask(w.rows.size, w.cols.size, rng)
        scale = 0.5 / np.sqrt(max(1.0, float(mask.sum()) / len(mask)))
        tensors[w.name] = np.where(mask, _away_from_zero(rng.normal(0, scale, mask.shape)), 0).astype(
            np.float32
        )
    for v in cell.params:
        rng = np.random.default_rng([seed, zlib.crc32(v.name.encode())])
        tensors[v.name] = rng.normal(0, 0.1, v.space.size).astype(np.float32)
    return tensors


def _away_from_zero(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """A kept weight never rounds to zero in a 16-bit type, so that densities stay what they are."""
    return np.copysign(np.maximum(np.abs(values), 1e-3), values)
