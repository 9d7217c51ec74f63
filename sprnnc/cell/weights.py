"""Weights of a cell: the shapes it expects, whether tensors hold what it declares, random ones."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from sprnnc.cell.ir import Cell, DType
from sprnnc.cell.storage import to_storage
from sprnnc.diagnostics import CompileError, Diagnostic, fail
from sprnnc.machine import memory_bytes

Tensor = NDArray[np.float32]


def expected_shapes(cell: Cell) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor that ``cell`` needs: matrices [rows, cols], vector parameters [size]."""
    shapes: dict[str, tuple[int, ...]] = {w.name: (w.rows.size, w.cols.size) for w in cell.weights}
    return shapes | {v.name: (v.space.size,) for v in cell.params}


def validate_weights(
    cell: Cell, tensors: Mapping[str, Tensor], allow_nan: bool = False, dtype: DType = DType.FP32
) -> None:
    """Raises CompileError with E310 for NaN or Inf (unless allowed), E311 for a broken pattern, and E312
    for matrices that ``dtype`` cannot hold."""
    errors = []
    if not allow_nan:
        errors += [e for name, t in tensors.items() if (e := not_finite(name, t))]
    errors += [e for w in cell.weights if (e := _not_held(w.name, tensors[w.name], dtype))]
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


def not_finite(name: str, tensor: Tensor) -> Diagnostic | None:
    """E310 where there are NaN or Inf."""
    bad = ~np.isfinite(tensor)
    if not bad.any():
        return None
    first = [int(i) for i in np.argwhere(bad)[0]]
    return Diagnostic(
        "E310",
        f"tensor '{name}' has {int(bad.sum())} values that are NaN or infinite, the first at {first}",
        help="mend the training run, or pass --allow-nan (allow_nan=True) if they are meant",
    )


def _not_held(name: str, tensor: Tensor, dtype: DType) -> Diagnostic | None:
    """Finite values that become infinite when rounded to ``dtype``, or non-zeros that all become zero."""
    stored = to_storage(tensor, dtype).astype(np.float32)
    lost = int((np.isfinite(tensor) & ~np.isfinite(stored)).sum())
    if lost:
        what = f"{lost} values that overflow in {dtype.value}, the largest {np.abs(tensor).max():.3g}"
    elif tensor.any() and not stored.any():
        what = f"only values that are zero in {dtype.value}, the largest {np.abs(tensor).max():.3g}"
    else:
        return None
    return Diagnostic(
        "E312", f"tensor '{name}' has {what}", help="scale the weights, or compile with dtype fp32"
    )


def print_weights(tensors: Mapping[str, Tensor]) -> str:
    """Names, shapes and non-zeros, one tensor a line."""
    lines = [f"{n} {list(t.shape)}: {np.count_nonzero(t)} of {t.size} non-zero" for n, t in tensors.items()]
    return "\n".join(lines) + "\n"


def random_weights(cell: Cell, seed: int, prefix: str = "") -> dict[str, Tensor]:
    """Random tensors that have the declared patterns and keep the dynamics contractive.

    A tensor depends on the seed and its name behind ``prefix`` alone, not on the order of declarations.
    Raises CompileError E406 where this machine has no memory for them.
    """
    _require_memory(cell)
    tensors: dict[str, Tensor] = {}
    for w in cell.weights:
        rng = np.random.default_rng([seed, zlib.crc32(f"{prefix}{w.name}".encode())])
        mask = w.pattern.random_mask(w.rows.size, w.cols.size, rng)
        scale = 0.5 / np.sqrt(max(1.0, float(mask.sum()) / len(mask)))
        values = _away_from_zero(_normal(rng, mask.shape, scale))
        values[~mask] = 0
        tensors[w.name] = values
    for v in cell.params:
        rng = np.random.default_rng([seed, zlib.crc32(f"{prefix}{v.name}".encode())])
        tensors[v.name] = _normal(rng, (v.space.size,), 0.1)
    return tensors


def _normal(rng: np.random.Generator, shape: tuple[int, ...], scale: float) -> Tensor:
    values = rng.standard_normal(shape, dtype=np.float32)
    values *= np.float32(scale)
    return values


def _away_from_zero(values: Tensor) -> Tensor:
    """A kept weight never rounds to zero in a 16-bit type, so that densities stay what they are."""
    return np.copysign(np.maximum(np.abs(values), np.float32(1e-3)), values)


def _require_memory(cell: Cell) -> None:
    """Raises CompileError E406 for sizes whose weights this machine cannot hold; says what it can."""
    sizes = {s.name: s.size for w in cell.weights for s in (w.rows, w.cols)}
    limit = memory_bytes()
    needed = _drawing_bytes(cell, sizes)
    if needed <= limit:
        return
    name = max(sizes, key=sizes.__getitem__)
    low, high = 0, sizes[name]  # low fits, high does not
    while high - low > 1:
        middle = (low + high) // 2
        fits = _drawing_bytes(cell, sizes | {name: middle}) <= limit
        low, high = (middle, high) if fits else (low, middle)
    raise fail(
        "E406",
        f"random weights of these sizes take {needed} bytes of memory; this machine has {limit}",
        help=f"{name} is {sizes[name]}: up to {low} would fit" if low else "choose smaller sizes",
    )


def _drawing_bytes(cell: Cell, sizes: Mapping[str, int]) -> int:
    """All weights in float32, and for one at a time its mask, its order and a copy."""
    entries = [sizes[w.rows.name] * sizes[w.cols.name] for w in cell.weights]
    return 4 * sum(entries) + 16 * max(entries, default=0)
