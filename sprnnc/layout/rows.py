"""Stacks the matrices of a phase: one list of rows, their non-zeros as columns of the operand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sprnnc.layout.partition import IntArray, Partition
from sprnnc.layout.placement import SpacePlacement
from sprnnc.passes.recurrence import Phase

FloatArray = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Rows of a phase's stacked matrix, and their non-zeros in row order.

    By row: its ``product``, where it lies (``block``, ``item``, ``warp``, ``place``), its ``lanes``.
    By non-zero: its ``row``, the ``vector`` and the unit (``column``) that it multiplies, its ``value``.
    """

    product: IntArray
    block: IntArray
    item: IntArray
    warp: IntArray
    place: IntArray
    lanes: IntArray
    row: IntArray
    vector: IntArray
    column: IntArray
    value: FloatArray

    @property
    def count(self) -> NDArray[np.int64]:
        """Non-zeros of every row."""
        return np.bincount(self.row, minlength=len(self.product))


def stack_rows(
    phase: Phase,
    weights: Mapping[str, FloatArray],
    partition: Partition,
    placements: Mapping[str, SpacePlacement],
) -> Rows:
    """All rows of all products of ``phase``, in the order of the products."""
    vectors = [v.name for v in phase.published]
    by_row, by_nonzero, start = [], [], 0
    for i, p in enumerate(phase.products):
        matrix = weights[p.weight]
        size, where = len(matrix), placements[p.rows.name]
        r, c = np.nonzero(matrix)
        vector = np.full(len(r), vectors.index(p.operand), np.int32)
        block = partition.spaces[p.rows.name].block
        lanes = np.full(size, where.lanes_per_row, np.int32)
        by_row.append((np.full(size, i, np.int32), block, where.item, where.warp, where.place, lanes))
        by_nonzero.append(((r + start).astype(np.int32), vector, c.astype(np.int32), matrix[r, c]))
        start += size
    rows = [np.concatenate(a) for a in zip(*by_row, strict=True)]
    return Rows(*rows, *(np.concatenate(a) for a in zip(*by_nonzero, strict=True)))
