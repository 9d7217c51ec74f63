"""How far apart two outputs are, in numbers that need no model of what they are for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Difference:
    """``b`` against ``a``, float arrays [T, B, O] of one shape; NaN and Inf on either side do not count.

    ``relative`` is ||b - a|| / ||a||. ``correlation`` (Pearson's) and ``cosine`` are over all values, None
    where a side is constant or zero. ``same_largest``: in which share of the T B columns both have their
    largest output at the same place; None for a single output. ``by_step``: the root mean square of b - a,
    [T]. ``not_finite``: how many values were left out.
    """

    largest: float
    rms: float
    relative: float
    correlation: float | None
    cosine: float | None
    same_largest: float | None
    by_step: Float64
    not_finite: int


def difference(a: NDArray[Any], b: NDArray[Any]) -> Difference:
    """Raises ValueError for shapes that differ."""
    if a.shape != b.shape:
        raise ValueError(f"shapes {a.shape} and {b.shape} differ")
    finite = np.isfinite(a) & np.isfinite(b)
    a64, b64 = np.where(finite, a, 0.0).astype(np.float64), np.where(finite, b, 0.0).astype(np.float64)
    apart = b64 - a64
    counts = finite.sum(axis=(1, 2))
    squares = (apart**2).sum(axis=(1, 2))
    norm = float(np.linalg.norm(a64))
    return Difference(
        largest=float(np.abs(apart).max(initial=0.0)),
        rms=float(np.sqrt(squares.sum() / max(1, counts.sum()))),
        relative=float(np.linalg.norm(apart)) / norm if norm else float(np.linalg.norm(apart)),
        correlation=_cosine(_centred(a64[finite]), _centred(b64[finite])),
        cosine=_cosine(a64[finite], b64[finite]),
        same_largest=_same_largest(a64, b64, finite),
        by_step=np.sqrt(squares / np.maximum(1, counts)),
        not_finite=int(finite.size - counts.sum()),
    )


def _centred(values: Float64) -> Float64:
    centred: Float64 = values - values.mean() if values.size else values
    return centred


def _cosine(a: Float64, b: Float64) -> float | None:
    scale = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / scale if scale else None


def _same_largest(a: Float64, b: Float64, finite: NDArray[np.bool_]) -> float | None:
    whole = finite.all(axis=2)
    if a.shape[2] < 2 or not whole.any():
        return None
    return float((a.argmax(axis=2) == b.argmax(axis=2))[whole].mean())
