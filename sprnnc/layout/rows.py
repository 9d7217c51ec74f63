"""Stacks the matrices of a phase: one list of rows, their tiles as columns of the operand.

A row here is a row of tiles, and a non-zero a tile that holds one: where a tile is one value, the matrix's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sprnnc.layout.partition import IntArray, Partition
from sprnnc.layout.placement import SpacePlacement
from sprnnc.layout.tile import Tile
from sprnnc.passes.recurrence import Phase

FloatArray = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Rows of a phase's stacked matrix, and their non-zeros in row order.

    By row: its ``product``, where it lies (``block``, ``item``, ``warp``, ``place`` among the rows of its
    bundle), its ``lanes``. By non-zero: its ``row``, the ``vector`` and the first unit (``column``) that it
    multiplies, its ``value`` [tile rows, tile columns].
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
    tile: Tile,
) -> Rows:
    """All rows of all products of ``phase``, in the order of the products."""
    vectors = [v.name for v in phase.published]
    by_row, by_nonzero, start = [], [], 0
    for i, p in enumerate(phase.products):
        where = placements[p.rows.name]
        r, c, value = find_tiles(weights[p.weight], tile)
        vector = np.full(len(r), vectors.index(p.operand), np.int32)
        first = slice(None, None, tile.rows)  # the first unit of every row
        block = partition.spaces[p.rows.name].block[first]
        size = len(block)
        lanes = np.full(size, where.lanes_per_row, np.int32)
        place = where.place[first] // tile.rows
        by_row.append((np.full(size, i, np.int32), block, where.item[first], where.warp[first], place, lanes))
        column = (c * tile.columns).astype(np.int32)
        by_nonzero.append(((r + start).astype(np.int32), vector, column, value))
        start += size
    rows = [np.concatenate(a) for a in zip(*by_row, strict=True)]
    return Rows(*rows, *(np.concatenate(a) for a in zip(*by_nonzero, strict=True)))


def find_tiles(matrix: FloatArray, tile: Tile) -> tuple[NDArray[np.intp], NDArray[np.intp], FloatArray]:
    """Row and column, in tiles, of every tile that is not all zero, and its values [rows, columns]."""
    r, c = np.nonzero(_occupied(matrix, tile))
    return r, c, _in_tiles(matrix, tile)[r, :, c]


def tiles_by_row(matrix: FloatArray, tile: Tile) -> NDArray[np.int64]:
    """How many tiles that are not all zero each row of tiles has."""
    counts: NDArray[np.int64] = _occupied(matrix, tile).sum(axis=1, dtype=np.int64)
    return counts


def nonzeros_by_row(matrices: Mapping[str, FloatArray]) -> dict[str, NDArray[np.int64]]:
    """How many non-zeros each row of each matrix has."""
    return {name: np.count_nonzero(m, axis=1).astype(np.int64) for name, m in matrices.items()}


def _in_tiles(matrix: FloatArray, tile: Tile) -> FloatArray:
    """[rows, tile rows, columns, tile columns], counted in tiles."""
    rows, columns = matrix.shape
    return matrix.reshape(rows // tile.rows, tile.rows, columns // tile.columns, tile.columns)


def _occupied(matrix: FloatArray, tile: Tile) -> NDArray[np.bool_]:
    occupied: NDArray[np.bool_] = (_in_tiles(matrix, tile) != 0).any(axis=(1, 3))
    return occupied
