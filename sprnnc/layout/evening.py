"""Pass 5b, the permutation of hidden units that evens out banks.

Where a unit lies in the exchanged vector decides which bank serves it. Within its block a unit may
take any place, so each block's units are assigned to its places such that every load group (see
``lanes.py``) reads its banks as evenly as can be: then it needs few slots more than its busiest lane.

The columns of a tile move together, to places that lie side by side: units, places and banks below are
those of whole tiles, of which each has as many of a load's banks as it has loads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csc_array, csr_array

from sprnnc.layout.partition import IntArray, SpacePartition
from sprnnc.layout.rows import Rows
from sprnnc.layout.tile import Tile
from sprnnc.passes.recurrence import Phase

_SWEEPS = 3


@dataclass(frozen=True, slots=True, eq=False)
class _Reads:
    """How often each load group [groups] reads each unit, and where the vector starts in its operand."""

    counts: csc_array
    offset: int


def even_positions(
    phases: Sequence[tuple[Phase, Rows]], spaces: Mapping[str, SpacePartition], together: int, tile: Tile
) -> dict[str, IntArray]:
    """Positions int32 [size] of every space's units, each block's a permutation of what it had."""
    positions = {}
    for name, space in spaces.items():
        reads = [
            _reads(rows, phase, i, len(space.position), together, tile)
            for phase, rows in phases
            for i, vector in enumerate(phase.published)
            if vector.space.name == name
        ]
        reads = [r for r in reads if r.counts.nnz]
        banks = together // tile.loads
        moves = bool(reads) and banks > 1
        positions[name] = _move_tiles(space, reads, banks, tile) if moves else space.position
    return positions


def _move_tiles(space: SpacePartition, reads: list[_Reads], banks: int, tile: Tile) -> IntArray:
    width = tile.columns
    block_tiles = [u[u >= 0][::width] // width for u in space.unit]
    moved = _assign(space.position[::width] // width, block_tiles, reads, banks)
    position = np.repeat(moved, width) * width + np.tile(np.arange(width), len(moved))
    return position.astype(np.int32)


def _reads(rows: Rows, phase: Phase, vector: int, size: int, together: int, tile: Tile) -> _Reads:
    group, groups = load_groups(rows, together)
    mine = rows.vector == vector
    at = (group[mine], rows.column[mine] // tile.columns)
    ones = np.ones(len(at[0]), np.float32)
    counts = csr_array((ones, at), shape=(groups, size // tile.columns))
    return _Reads(csc_array(counts), phase.first_column(phase.published[vector].name) // tile.columns)


def load_groups(rows: Rows, together: int) -> tuple[NDArray[np.int64], int]:
    """The load group of every non-zero, and how many there are; one that shares a row counts as one."""
    wide = np.maximum(rows.lanes, together)
    place = rows.place * rows.lanes // wide
    bundle = np.ravel_multi_index(
        (rows.product, rows.block, rows.item, rows.warp, place),
        tuple(int(a.max()) + 1 for a in (rows.product, rows.block, rows.item, rows.warp, place)),
    )
    _, of_row = np.unique(bundle, return_inverse=True)
    return of_row[rows.row], int(of_row.max()) + 1


def _assign(start: IntArray, block_units: list[IntArray], reads: list[_Reads], together: int) -> IntArray:
    """Block by block, the assignment of units to places that loads the fullest banks least."""
    position = start.copy()
    banks = [_bank_counts(r, position, together) for r in reads]
    for _ in range(_SWEEPS):
        for units in block_units:
            places = np.sort(position[units])
            cost = np.zeros((len(units), len(places)))
            for r, counts in zip(reads, banks, strict=True):
                _add_cost(cost, r, counts, units, places, position, together)
            _, chosen = linear_sum_assignment(cost)
            moved = places[chosen].astype(np.int32)
            for r, counts in zip(reads, banks, strict=True):
                _move(r, counts, units, moved, together)
            position[units] = moved
    return position


def _bank_counts(r: _Reads, position: IntArray, together: int) -> NDArray[np.float32]:
    """Reads of every bank by every load group: [groups, together]."""
    size = len(position)
    ones = np.ones(size, np.float32)
    bank = csr_array((ones, (np.arange(size), (position + r.offset) % together)), shape=(size, together))
    counts: NDArray[np.float32] = (r.counts @ bank).toarray()
    return counts


def _add_cost(
    cost: NDArray[np.float64],
    r: _Reads,
    counts: NDArray[np.float32],
    units: IntArray,
    places: IntArray,
    position: IntArray,
    together: int,
) -> None:
    """Takes the block's units out of ``counts``, then adds what each unit would cost at each place.

    The penalty of a bank grows with the fourth power of its excess over the group's mean, so that
    the busiest ones, which decide how many slots a group needs, weigh most.
    """
    part = r.counts[:, units]
    touched = np.flatnonzero(np.bincount(part.indices))
    dense = part[touched].toarray() if len(touched) else np.zeros((0, len(units)), np.float32)
    old = np.zeros((len(units), together), np.float32)
    old[np.arange(len(units)), (position[units] + r.offset) % together] = 1
    counts[touched] -= dense @ old
    here = counts[touched]
    mean = here.mean(axis=1, keepdims=True)
    excess = np.maximum(0.0, 1.0 + (here - mean) / np.sqrt(mean + 1.0))
    price = dense.T @ (excess**3 / np.sqrt(mean + 1.0))
    cost += price[:, (places + r.offset) % together]


def _move(r: _Reads, counts: NDArray[np.float32], units: IntArray, places: IntArray, together: int) -> None:
    part = r.counts[:, units]
    touched = np.flatnonzero(np.bincount(part.indices))
    new = np.zeros((len(units), together), np.float32)
    new[np.arange(len(units)), (places + r.offset) % together] = 1
    if len(touched):
        counts[touched] += part[touched].toarray() @ new
