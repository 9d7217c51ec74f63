"""Pass 4, units -> blocks: which block of which device owns which hidden unit.

All gates of a unit live in one block, so that state updates are local, and so do the units of a tile
(``tile.py``), by rows and by columns. A block takes a run of units
where the rows are alike, so that what it reads and writes for them lies together; otherwise units are
dealt to the block with the fewest non-zeros so far (longest first), each taking at most its share.
Several devices are dealt to first in the same way, and then the blocks of each.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sprnnc.diagnostics import InternalError
from sprnnc.layout.tile import ONE_VALUE, Tile
from sprnnc.passes.recurrence import Recurrence

IntArray = NDArray[np.int32]
NOBODY = -1
# Inputs that a block does not own may trade places within runs of so many: what lies together stays together.
_RUN_OF_INPUTS = 32
# Runs of units may make the busiest block this much busier: memory access in whole sectors is worth it.
_RUNS_WORTH = 1.08


@dataclass(frozen=True, slots=True, eq=False)
class SpacePartition:
    """Units of one space over blocks, those of a device side by side.

    Where no block owns them (inputs that the loop multiplies), over runs.

    ``unit`` int32 [blocks, units_per_block]: canonical unit, or NOBODY where a block has fewer.
    ``position`` int32 [size]: place of each unit in an exchanged vector; a block's are contiguous.
    ``block``, ``local`` int32 [size]: owner of each unit and its row in ``unit``.
    """

    unit: IntArray
    position: IntArray
    block: IntArray
    local: IntArray
    owned: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Partition:
    """One SpacePartition for each space of the recurrence, by name; ``blocks`` are those of all devices."""

    devices: int
    blocks: int
    spaces: Mapping[str, SpacePartition]


def partition(
    recurrence: Recurrence,
    nonzeros: Mapping[str, NDArray[np.int64]],
    blocks: int,
    tile: Tile = ONE_VALUE,
    devices: int = 1,
) -> Partition:
    """Deals the units of every space to ``blocks`` blocks of each device, those of a tile together.

    ``nonzeros`` gives for each weight its count of non-zeros by row.
    """
    spaces = {}
    for space in recurrence.spaces:
        load = np.zeros(space.size, np.int64)
        for phase in recurrence.phases:
            for product in phase.products:
                if product.rows == space:
                    load += nonzeros[product.weight]
        spaces[space.name] = _deal(load, devices, blocks, units_together(recurrence, space.name, tile))
    for joined in recurrence.joined_products:
        name, size = joined.cols.name, joined.cols.size
        if name not in spaces:
            runs = _deal(np.zeros(size, np.int64), 1, -(-size // _RUN_OF_INPUTS), tile.columns)
            spaces[name] = replace(runs, owned=False)
    return Partition(devices, devices * blocks, spaces)


def units_together(recurrence: Recurrence, space: str, tile: Tile) -> int:
    """Consecutive units of ``space`` that one block must own: a tile's rows, and its columns."""
    rows = tile.rows if recurrence.products_of(space) else 1
    read = any(v.space.name == space for phase in recurrence.phases for v in phase.published)
    return max(rows, tile.columns if read else 1)


def _deal(unit_load: NDArray[np.int64], devices: int, blocks: int, together: int) -> SpacePartition:
    """Deals runs of ``together`` units each, to devices and then to the blocks of each."""
    load = unit_load.reshape(-1, together).sum(axis=1)
    device = _owners(load, devices)
    owner = device * np.int32(blocks)
    for d in range(devices):
        mine = device == d
        owner[mine] += _owners(load[mine], blocks)
    return _from_owner(np.repeat(owner, together), devices * blocks)


def _owners(load: NDArray[np.int64], owners: int) -> IntArray:
    """Which of ``owners`` each unit goes to: runs of units, unless that makes one of them too busy."""
    share = max(1, -(-len(load) // owners))
    runs = (np.arange(len(load)) // share).astype(np.int32)
    even = _dealt_evenly(load, owners, share)
    busiest = [np.bincount(o, weights=load, minlength=owners).max() for o in (runs, even)]
    return runs if busiest[0] <= _RUNS_WORTH * busiest[1] else even


def _dealt_evenly(load: NDArray[np.int64], owners: int, share: int) -> IntArray:
    """The owner of each unit such that the owners' non-zeros are as equal as a greedy choice makes them."""
    owner = np.empty(len(load), np.int32)
    heap = [(0, 0, o) for o in range(owners)]  # (non-zeros, units, owner)
    for unit in np.argsort(-load, kind="stable"):
        total, units, first = heapq.heappop(heap)
        owner[unit] = first
        if units + 1 < share:
            heapq.heappush(heap, (total + int(load[unit]), units + 1, first))
    return owner


def _from_owner(owner: IntArray, blocks: int) -> SpacePartition:
    size, share = len(owner), int(np.bincount(owner).max())
    order = np.argsort(owner, kind="stable").astype(np.int32)
    position = np.empty(size, np.int32)
    position[order] = np.arange(size, dtype=np.int32)
    first = np.searchsorted(owner[order], np.arange(blocks)).astype(np.int32)
    local = (position - first[owner]).astype(np.int32)
    unit = np.full((blocks, share), NOBODY, np.int32)
    unit[owner, local] = np.arange(size, dtype=np.int32)
    return SpacePartition(unit, position, owner, local)


def verify(partition: Partition) -> None:
    """Contract: every unit has one owner, and positions are a permutation."""
    for name, space in partition.spaces.items():
        owned = np.sort(space.unit[space.unit != NOBODY])
        size = len(space.position)
        if not np.array_equal(owned, np.arange(size)):
            raise InternalError("partition", f"space {name}: a unit has no owner, or two")
        if not np.array_equal(np.sort(space.position), np.arange(size)):
            raise InternalError("partition", f"space {name}: positions are not a permutation")


def print_partition(partition: Partition) -> str:
    """Units and their owners, one block a line."""
    devices = f" of {partition.devices} devices" if partition.devices > 1 else ""
    lines = [f"partition over {partition.blocks} blocks{devices}"]
    for name, space in partition.spaces.items():
        for b, units in enumerate(space.unit):
            listed = " ".join(str(u) for u in units if u != NOBODY)
            lines.append(f"  {name} {'block' if space.owned else 'run'} {b}: {listed}")
    return "\n".join(lines) + "\n"
