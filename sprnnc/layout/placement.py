"""Pass 5a, units -> warps and lanes: every total ends in the lane that keeps the unit's state.

A *row* is the rows of a matrix that a tile has: one, or those of a few consecutive units. A *bundle*
is what a warp gathers at once: 32 / ``lanes_per_row`` rows, each spread over that many lanes. A warp has
one bundle for each product of its units, so the gates of a unit all end in the same lanes, and nothing
but the exchanged vectors ever leaves a warp.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sprnnc.layout.options import LANES, LayoutOptions
from sprnnc.layout.partition import NOBODY, IntArray, Partition
from sprnnc.passes.recurrence import Recurrence

# Fewer lanes a row leave fewer warps to hide latency, which the estimate does not see: they must gain more.
_SAFE_LANES, _DOUBT = 16, 1.08


@dataclass(frozen=True, slots=True, eq=False)
class SpacePlacement:
    """Units of one space on warps and lanes.

    ``rows``: consecutive units that share the lanes of a row.
    ``unit`` int32 [blocks, items, warps, places]: whose rows lie there, or NOBODY; ``rows`` places a row.
    ``item``, ``warp``, ``place`` int32 [size]: where each unit is within its block.
    ``warps_of_item``: warps that own a unit of that item in any block, the first ones.
    ``cycles``: estimated cycles of the space's gathers by ``lanes_per_row`` that was considered.
    """

    lanes_per_row: int
    rows: int
    unit: IntArray
    item: IntArray
    warp: IntArray
    place: IntArray
    warps_of_item: tuple[int, ...]
    cycles: Mapping[int, int]

    @property
    def items(self) -> int:
        return len(self.warps_of_item)

    @property
    def places(self) -> int:
        """Units of one bundle."""
        return LANES // self.lanes_per_row * self.rows


def place_units(
    recurrence: Recurrence,
    nonzeros: Mapping[str, NDArray[np.int64]],
    partition: Partition,
    options: LayoutOptions,
) -> dict[str, SpacePlacement]:
    """The placement of every space; where ``lanes_per_row`` is open, the one of fewest cycles is taken.

    ``nonzeros`` gives for each weight its count of tiles (non-zeros, where a tile is one) by row of tiles.
    """
    placements = {}
    for space in recurrence.spaces:
        rows = [nonzeros[p.weight] for p in recurrence.products_of(space.name)]
        units = options.tile.rows if rows else 1  # of a row
        owner = partition.spaces[space.name].block[::units]
        cycles = {n: _cycles(rows, owner, partition.blocks, n, options) for n in options.candidates}
        lanes = min(cycles, key=lambda n: cycles[n] * (_DOUBT if n < _SAFE_LANES else 1.0))
        placed = _place(rows, owner, partition.blocks, lanes, options.warps, cycles)
        placements[space.name] = _with_units(placed, units)
    return placements


def _with_units(placed: SpacePlacement, rows: int) -> SpacePlacement:
    """A placement of whole rows as one of their ``rows`` units each, which have neighbouring places."""
    each = np.arange(rows, dtype=np.int32)
    first = placed.unit[..., None]
    unit = np.where(first == NOBODY, NOBODY, first * rows + each).astype(np.int32)
    return replace(
        placed,
        rows=rows,
        unit=unit.reshape(*placed.unit.shape[:3], -1),
        item=np.repeat(placed.item, rows),
        warp=np.repeat(placed.warp, rows),
        place=(placed.place[:, None] * rows + each).ravel(),
    )


def _cycles(
    rows: list[NDArray[np.int64]], owner: IntArray, blocks: int, lanes: int, options: LayoutOptions
) -> int:
    """Estimated cycles with ``lanes`` lanes a row, the longest rows of any block counting."""
    places = LANES // lanes
    units = np.bincount(owner, minlength=blocks).max()
    sets = -(-units // places)
    bundles = []
    for first in range(0, sets, options.warps):
        warps = min(options.warps, sets - first)
        for counts in rows:
            bundles.append(options.bundle(warps, lanes, float(counts.mean()), int(counts.max())))
    return round(options.gather_cycles(lanes, bundles))


def _place(
    rows: list[NDArray[np.int64]],
    owner: IntArray,
    blocks: int,
    lanes: int,
    warps: int,
    cycles: Mapping[int, int],
) -> SpacePlacement:
    """Rows of a block, longest first, fill bundles one after the other: rows of similar length meet."""
    size, places = len(owner), LANES // lanes
    load = sum(rows, np.zeros(size, np.int64))
    order = np.lexsort((-load, owner))
    first = np.searchsorted(owner[order], np.arange(blocks))
    rank = np.empty(size, np.int64)
    rank[order] = np.arange(size) - first[owner[order]]
    bundle, place = np.divmod(rank, places)
    item, warp = np.divmod(bundle, warps)
    bundles = int(bundle.max()) + 1
    items = -(-bundles // warps)
    unit = np.full((blocks, items, warps, places), NOBODY, np.int32)
    unit[owner, item, warp, place] = np.arange(size, dtype=np.int32)
    warps_of_item = tuple(min(warps, bundles - i * warps) for i in range(items))
    item, warp, place = (a.astype(np.int32) for a in (item, warp, place))
    return SpacePlacement(lanes, 1, unit, item, warp, place, warps_of_item, cycles)
