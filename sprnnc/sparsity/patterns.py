"""Sparsity patterns: each is an object that checks, draws and describes its masks.

Adding a pattern is one class here, one alternative in the grammar and one round-trip test; no
other code asks which pattern a weight has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Scores = NDArray[np.floating[Any]]


class Pattern(Protocol):
    """Which entries of a matrix may be non-zero."""

    def violation(self, mask: Mask, exempt: Mask | None = None) -> str | None:
        """Why ``mask`` (True where non-zero) breaks this pattern, expected against got; None if it fits.

        Each entry of ``exempt`` may count as zero or as non-zero, whichever fits.
        """
        ...

    def random_mask(self, rows: int, cols: int, rng: np.random.Generator) -> Mask:
        """A random mask of this pattern."""
        ...

    def best_mask(self, scores: Scores) -> Mask:
        """The mask of this pattern that keeps the largest sum of ``scores`` [rows, cols], none negative."""
        ...

    def at_density(self, density: float) -> Pattern | None:
        """The same kind of pattern at another density; None where the kind has no density to choose."""
        ...

    def declared_density(self) -> float | None:
        """The share of entries that may be non-zero, in a large matrix; None where the values alone say."""
        ...

    def shape_error(self, rows: int, cols: int) -> str | None:
        """Why no ``[rows, cols]`` matrix can have this pattern (a ragged block, say); None if one can."""
        ...

    def tile(self) -> tuple[int, int]:
        """Rows and columns of the aligned blocks that are kept or dropped whole; 1 x 1 where none are."""
        ...

    def describe(self) -> str:
        """As written in the language: ``sparse(0.1)``."""
        ...


def _without(mask: Mask, exempt: Mask | None) -> Mask:
    return mask if exempt is None else mask & ~exempt


def _number(density: float) -> str:
    """All its digits, so that it reads back as the same number: ``0.1``, ``1``."""
    return repr(float(density)).removesuffix(".0")


def _density_violation(
    low: int, found: int, total: int, declared: float, slack: int, what: str
) -> str | None:
    """Why no count from ``low`` to ``found`` is near the declared density of ``total``; None if one is.

    Near is 1 %, and for small matrices ``slack`` entries (rounding by row), but never over a tenth; a
    declared 0 is none at all.
    """
    expected = declared * total
    found = max(low, min(found, round(expected)))
    apart = max(0.01 * expected, min(slack, max(1.0, 0.1 * expected))) if declared else 0.0
    if abs(found - expected) <= apart:
        return None
    return (
        f"declared {declared:g} of {total} {what} ({expected:.0f}), "
        f"found {found} ({found / total:.4g}); more than {apart:.0f} apart"
    )


def _density_error(density: float) -> str | None:
    return None if 0 <= density <= 1 else f"the density {density:g} is not from 0 to 1"


def _largest(scores: Scores, count: int) -> Mask:
    """Marks the ``count`` largest along the last axis."""
    mask = np.zeros(scores.shape, bool)
    if count:
        chosen = np.argpartition(scores, scores.shape[-1] - count, axis=-1)[..., -count:]
        np.put_along_axis(mask, chosen, True, axis=-1)
    return mask


def _random_subset(rng: np.random.Generator, total: int, count: int) -> Mask:
    mask = np.zeros(total, bool)
    mask[rng.choice(total, count, replace=False)] = True
    return mask


@dataclass(frozen=True, slots=True)
class Dense:
    """Every entry may be non-zero."""

    def violation(self, mask: Mask, exempt: Mask | None = None) -> str | None:
        del mask, exempt
        return None

    def random_mask(self, rows: int, cols: int, rng: np.random.Generator) -> Mask:
        del rng
        return np.ones((rows, cols), bool)

    def best_mask(self, scores: Scores) -> Mask:
        return np.ones(scores.shape, bool)

    def at_density(self, density: float) -> Pattern | None:
        del density
        return None

    def declared_density(self) -> float | None:
        return 1.0

    def shape_error(self, rows: int, cols: int) -> str | None:
        del rows, cols
        return None

    def tile(self) -> tuple[int, int]:
        return 1, 1

    def describe(self) -> str:
        return "dense"


@dataclass(frozen=True, slots=True)
class AsStored:
    """Whatever the file holds."""

    def violation(self, mask: Mask, exempt: Mask | None = None) -> str | None:
        del mask, exempt
        return None

    def random_mask(self, rows: int, cols: int, rng: np.random.Generator) -> Mask:
        return Unstructured(0.1).random_mask(rows, cols, rng)

    def best_mask(self, scores: Scores) -> Mask:
        return np.asarray(scores != 0, np.bool_)

    def at_density(self, density: float) -> Pattern | None:
        del density
        return None

    def declared_density(self) -> float | None:
        return None

    def shape_error(self, rows: int, cols: int) -> str | None:
        del rows, cols
        return None

    def tile(self) -> tuple[int, int]:
        return 1, 1

    def describe(self) -> str:
        return "as_stored"


@dataclass(frozen=True, slots=True)
class Unstructured:
    """A share ``density`` of the entries, anywhere."""

    density: float

    def violation(self, mask: Mask, exempt: Mask | None = None) -> str | None:
        low = int(_without(mask, exempt).sum())
        return _density_violation(low, int(mask.sum()), mask.size, self.density, mask.shape[0], "entries")

    def random_mask(self, rows: int, cols: int, rng: np.random.Generator) -> Mask:
        return _random_subset(rng, rows * cols, round(self.density * rows * cols)).reshape(rows, cols)

    def best_mask(self, scores: Scores) -> Mask:
        return _largest(scores.ravel(), round(self.density * scores.size)).reshape(scores.shape)

    def at_density(self, density: float) -> Pattern | None:
        return Unstructured(density)

    def declared_density(self) -> float | None:
        return self.density

    def shape_error(self, rows: int, cols: int) -> str | None:
        del rows, cols
        return _density_error(self.density)

    def tile(self) -> tuple[int, int]:
        return 1, 1

    def describe(self) -> str:
        return f"sparse({_number(self.density)})"


@dataclass(frozen=True, slots=True)
class Blocks:
    """A share ``density`` of the aligned ``rows`` x ``cols`` blocks; a block is kept or dropped whole."""

    rows: int
    cols: int
    density: float

    def violation(self, mask: Mask, exempt: Mask | None = None) -> str | None:
        low = int(self._occupied(_without(mask, exempt)).sum())
        blocks = self._occupied(mask)
        return _density_violation(
            low, int(blocks.sum()), blocks.size, self.density, blocks.shape[0], "blocks"
        )

    def _occupied(self, mask: Mask) -> Mask:
        r, c = mask.shape
        blocks = mask.reshape(r // self.rows, self.rows, c // self.cols, self.cols)
        return np.asarray(blocks.any(axis=(1, 3)), np.bool_)

    def random_mask(self, rows: int, cols: int, rng: np.random.Generator) -> Mask:
        r, c = rows // self.rows, cols // self.cols
        kept = _random_subset(rng, r * c, round(self.density * r * c)).reshape(r, c)
        return np.kron(kept, np.ones((self.rows, self.cols), bool)).astype(bool)

    def best_mask(self, scores: Scores) -> Mask:
        r, c = scores.shape
        blocks = scores.reshape(r // self.rows, self.rows, c // self.cols, self.cols).sum(axis=(1, 3))
        kept = _largest(blocks.ravel(), round(self.density * blocks.size)).reshape(blocks.shape)
        return np.kron(kept, np.ones((self.rows, self.cols), bool)).astype(bool)

    def at_density(self, density: float) -> Pattern | None:
        return Blocks(self.rows, self.cols, density)

    def declared_density(self) -> float | None:
        return self.density

    def shape_error(self, rows: int, cols: int) -> str | None:
        if rows % self.rows or cols % self.cols:
            return f"[{rows}, {cols}] is not a whole number of {self.rows} x {self.cols} blocks"
        return _density_error(self.density)

    def tile(self) -> tuple[int, int]:
        return self.rows, self.cols

    def describe(self) -> str:
        return f"blocks({self.rows}, {self.cols}, {_number(self.density)})"


@dataclass(frozen=True, slots=True)
class BlockDiagonal:
    """``heads`` equal dense blocks along the diagonal."""

    heads: int

    def violation(self, mask: Mask, exempt: Mask | None = None) -> str | None:
        outside = int((_without(mask, exempt) & ~self._support(*mask.shape)).sum())
        return f"{outside} non-zeros lie outside the {self.heads} diagonal blocks" if outside else None

    def random_mask(self, rows: int, cols: int, rng: np.random.Generator) -> Mask:
        del rng
        return self._support(rows, cols)

    def _support(self, rows: int, cols: int) -> Mask:
        block = np.ones((rows // self.heads, cols // self.heads), bool)
        return np.kron(np.eye(self.heads, dtype=bool), block).astype(bool)

    def best_mask(self, scores: Scores) -> Mask:
        return self._support(*scores.shape)

    def at_density(self, density: float) -> Pattern | None:
        del density
        return None

    def declared_density(self) -> float | None:
        return 1 / self.heads

    def shape_error(self, rows: int, cols: int) -> str | None:
        if rows % self.heads or cols % self.heads:
            return f"[{rows}, {cols}] cannot be split evenly over {self.heads} heads"
        return None

    def tile(self) -> tuple[int, int]:
        return 1, 1

    def describe(self) -> str:
        return f"block_diagonal({self.heads})"


@dataclass(frozen=True, slots=True)
class NOfM:
    """At most ``n`` non-zeros in every aligned run of ``m`` columns of a row."""

    n: int
    m: int

    def violation(self, mask: Mask, exempt: Mask | None = None) -> str | None:
        counts = _without(mask, exempt).reshape(mask.shape[0], -1, self.m).sum(axis=2)
        if counts.max(initial=0) <= self.n:
            return None
        row, run = np.argwhere(counts > self.n)[0]
        return (
            f"row {row}, columns {run * self.m} to {(run + 1) * self.m - 1}: "
            f"{counts[row, run]} non-zeros, expected at most {self.n} of {self.m}"
        )

    def random_mask(self, rows: int, cols: int, rng: np.random.Generator) -> Mask:
        order = rng.random((rows, cols // self.m, self.m)).argsort(axis=2)
        return (order < self.n).reshape(rows, cols)

    def best_mask(self, scores: Scores) -> Mask:
        runs = scores.reshape(scores.shape[0], -1, self.m)
        return _largest(runs, self.n).reshape(scores.shape)

    def at_density(self, density: float) -> Pattern | None:
        return NOfM(max(1, int(density * self.m + 1e-9)), self.m)

    def declared_density(self) -> float | None:
        return self.n / self.m

    def shape_error(self, rows: int, cols: int) -> str | None:
        del rows
        if self.n > self.m:
            return f"{self.n} non-zeros cannot be among {self.m} columns"
        return f"{cols} columns are not a whole number of runs of {self.m}" if cols % self.m else None

    def tile(self) -> tuple[int, int]:
        return 1, 1

    def describe(self) -> str:
        return f"n_of_m({self.n}, {self.m})"


@dataclass(frozen=True, slots=True)
class Balanced:
    """The same number of non-zeros in each of ``banks`` equal runs of columns, in every row."""

    density: float
    banks: int

    def violation(self, mask: Mask, exempt: Mask | None = None) -> str | None:
        counts = self._counts(mask)
        expected = self._per_bank(mask.shape[1])
        wrong = np.argwhere((expected < self._counts(_without(mask, exempt))) | (expected > counts))
        if not len(wrong):
            return None
        row, bank = wrong[0]
        return f"row {row}, bank {bank}: {counts[row, bank]} non-zeros, expected {expected} in every bank"

    def random_mask(self, rows: int, cols: int, rng: np.random.Generator) -> Mask:
        order = rng.random((rows, self.banks, cols // self.banks)).argsort(axis=2)
        return (order < self._per_bank(cols)).reshape(rows, cols)

    def _counts(self, mask: Mask) -> NDArray[np.intp]:
        counts: NDArray[np.intp] = mask.reshape(mask.shape[0], self.banks, -1).sum(axis=2)
        return counts

    def _per_bank(self, cols: int) -> int:
        return round(self.density * (cols // self.banks))

    def best_mask(self, scores: Scores) -> Mask:
        banks = scores.reshape(scores.shape[0], self.banks, -1)
        return _largest(banks, self._per_bank(scores.shape[1])).reshape(scores.shape)

    def at_density(self, density: float) -> Pattern | None:
        return Balanced(density, self.banks)

    def declared_density(self) -> float | None:
        return self.density

    def shape_error(self, rows: int, cols: int) -> str | None:
        del rows
        if cols % self.banks:
            return f"{cols} columns cannot be split evenly into {self.banks} banks"
        if self.density > 0 and not self._per_bank(cols):
            return f"{self.density:g} of {cols // self.banks} columns a bank rounds to no non-zero at all"
        return _density_error(self.density)

    def tile(self) -> tuple[int, int]:
        return 1, 1

    def describe(self) -> str:
        return f"balanced({_number(self.density)}, {self.banks})"


@dataclass(frozen=True, slots=True)
class WithDiagonal:
    """The pattern ``base``, and a diagonal that is kept: it need not count for ``base``."""

    base: Pattern

    def violation(self, mask: Mask, exempt: Mask | None = None) -> str | None:
        diagonal = np.eye(*mask.shape, dtype=np.bool_)
        return self.base.violation(mask, diagonal if exempt is None else diagonal | exempt)

    def random_mask(self, rows: int, cols: int, rng: np.random.Generator) -> Mask:
        return self.base.random_mask(rows, cols, rng) | np.eye(rows, cols, dtype=bool)

    def best_mask(self, scores: Scores) -> Mask:
        diagonal = np.eye(*scores.shape, dtype=np.bool_)
        return self.base.best_mask(np.where(diagonal, 0, scores)) | diagonal

    def at_density(self, density: float) -> Pattern | None:
        base = self.base.at_density(density)
        return WithDiagonal(base) if base else None

    def declared_density(self) -> float | None:
        return self.base.declared_density()

    def shape_error(self, rows: int, cols: int) -> str | None:
        return self.base.shape_error(rows, cols)

    def tile(self) -> tuple[int, int]:
        return 1, 1

    def describe(self) -> str:
        return f"{self.base.describe()} + diagonal"
