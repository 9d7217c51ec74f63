"""Prunes matrices to a pattern by magnitude: what is kept has the largest sum there can be."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from sprnnc.diagnostics import CompileError, Diagnostic, fail
from sprnnc.sparsity.patterns import Blocks, Pattern, Unstructured, WithDiagonal

Key = TypeVar("Key", bound=Hashable)
Scores = NDArray[np.float64]


class Norm(Enum):
    """What a block's magnitude is: the sum of absolute values, or the root of the sum of squares."""

    L1 = "l1"
    L2 = "l2"


@dataclass(frozen=True, slots=True)
class Pruned:
    """``values``, float32, with zeros where nothing is kept, and the ``pattern`` that they have."""

    values: NDArray[np.float32]
    pattern: Pattern


def prune(
    matrices: Mapping[Key, NDArray[Any]],
    pattern: Pattern,
    *,
    together: bool = False,
    norm: Norm = Norm.L2,
) -> dict[Key, Pruned]:
    """Each matrix [rows, cols] with the entries that ``pattern`` keeps; new arrays.

    ``together``: one threshold for all matrices, so that each gets the density that its magnitudes earn and
    all of them that of ``pattern`` (class-blind pruning, See et al. 2016); for ``sparse`` and ``blocks``.
    Else each matrix has the pattern itself. A kept diagonal does not count. Raises CompileError with all
    that is wrong: E310 NaN or Inf, E710 shapes that cannot have the pattern or ranks that it does not have,
    E711 a matrix that already has fewer non-zeros than would be kept.
    """
    errors = [e for key, m in matrices.items() if (e := _unusable(str(key), m, pattern))]
    if errors:
        raise CompileError(tuple(errors))
    scores = {key: _scores(m, norm) for key, m in matrices.items()}
    patterns = shares(scores, pattern) if together else dict.fromkeys(scores, pattern)
    pruned = {}
    for key, matrix in matrices.items():
        values = np.where(patterns[key].best_mask(scores[key]), matrix, 0).astype(np.float32)
        pruned[key] = Pruned(values, _readable(patterns[key]) if together else pattern)
        if why := pruned[key].pattern.violation(values != 0):
            errors.append(_too_few(str(key), pruned[key].pattern, why))
    if errors:
        raise CompileError(tuple(errors))
    return pruned


def _scores(matrix: NDArray[Any], norm: Norm) -> Scores:
    """Magnitudes that add up over a block; squares rank as their roots do."""
    size = np.abs(np.asarray(matrix, np.float64))
    return size if norm is Norm.L1 else size**2


def _unusable(name: str, matrix: NDArray[Any], pattern: Pattern) -> Diagnostic | None:
    if matrix.ndim != 2:
        return Diagnostic("E710", f"'{name}' has shape {list(matrix.shape)}, expected a matrix")
    if not np.isfinite(matrix).all():
        return Diagnostic("E310", f"tensor '{name}' has NaN or infinite values, which have no rank")
    why = pattern.shape_error(*matrix.shape)
    return Diagnostic("E710", f"'{name}' cannot be {pattern.describe()}: {why}") if why else None


def _too_few(name: str, pattern: Pattern, why: str) -> Diagnostic:
    return Diagnostic(
        "E711",
        f"'{name}' holds too few non-zeros to be {pattern.describe()}: {why}",
        help="it has been pruned before: choose a lower density, or leave it out with --only",
    )


def shares(scores: Mapping[Key, Scores], pattern: Pattern) -> dict[Key, Pattern]:
    """The pattern of each matrix at the density that one threshold for all ``scores`` gives it.

    Raises CompileError E710 for a pattern that keeps as much in every matrix.
    """
    if isinstance(pattern, WithDiagonal):
        bare = {key: np.where(np.eye(*s.shape, dtype=np.bool_), 0, s) for key, s in scores.items()}
        return {key: WithDiagonal(p) for key, p in shares(bare, pattern.base).items()}
    if not isinstance(pattern, (Unstructured, Blocks)):
        raise fail(
            "E710",
            f"{pattern.describe()} keeps as much in every matrix, so that matrices cannot share it out",
            help="rank each matrix alone (--rank gate), or prune to sparse(D) or blocks(R, C, D)",
        )
    sums = {key: _candidates(s, *pattern.tile()) for key, s in scores.items()}
    everything = np.concatenate(list(sums.values())) if sums else np.zeros(0)
    kept = Unstructured(pattern.density).best_mask(everything[None])[0]
    parts = np.split(kept, np.cumsum([len(s) for s in sums.values()])[:-1])
    return {
        key: pattern.at_density(float(part.mean())) or pattern for key, part in zip(sums, parts, strict=True)
    }


def _candidates(scores: Scores, rows: int, cols: int) -> Scores:
    """Sums over blocks, [blocks]: what is kept or dropped whole."""
    r, c = scores.shape
    sums: Scores = scores.reshape(r // rows, rows, c // cols, cols).sum(axis=(1, 3)).ravel()
    return sums


def _readable(pattern: Pattern) -> Pattern:
    """With its density to four digits, which is well within what a declaration must be near to."""
    base = pattern.base if isinstance(pattern, WithDiagonal) else pattern
    density = getattr(base, "density", None)
    return pattern if density is None else pattern.at_density(float(f"{density:.4g}")) or pattern
