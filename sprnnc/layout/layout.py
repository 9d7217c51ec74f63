"""Pass 5, Recurrence + matrices + partition -> Layout: warp, lane and slot of every non-zero.

Units get lanes (``placement.py``) and positions (``evening.py``), a row's non-zeros are dealt to its
lanes (``lanes.py``), and every load group orders its loads into slots: free of bank conflicts by an
exact edge colouring (``colouring.py``), or as they come. Bundles of one *rank* (an item of a product)
have as many slots as the longest of them needs anywhere, which makes the kernel's loops constant.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sprnnc.diagnostics import InternalError
from sprnnc.layout.colouring import colour_edges
from sprnnc.layout.evening import even_positions
from sprnnc.layout.folding import folded_slots
from sprnnc.layout.lanes import deal_lanes, place_in_lane
from sprnnc.layout.options import LANES, BankOrder, LayoutOptions
from sprnnc.layout.partition import IntArray, Partition
from sprnnc.layout.placement import SpacePlacement, place_units
from sprnnc.layout.rows import FloatArray, Rows, stack_rows, tiles_by_row
from sprnnc.layout.turns import first_loads
from sprnnc.passes.recurrence import Phase, Recurrence


@dataclass(frozen=True, slots=True)
class Rank:
    """The bundles of one product and item: ``slots`` of each of the first ``warps`` warps."""

    product: int
    item: int
    warps: int
    slots: int


@dataclass(frozen=True, eq=False)
class PhaseLayout:
    """Where the non-zeros of one phase's stacked matrix live.

    ``columns``: length of the concatenated operand. The positions from there on, one in each bank,
    are null positions: they always hold zero, and padding reads the one in a bank of its own.
    ``position`` int32 [blocks, gather_warps, slots, 32], ranks in order: of the load that a lane makes first.
    ``value`` float32, the same with [tile rows, tile columns] after it, in the order of the matrix.
    ``nonzeros``: how many there are, or tiles that hold any; all other places are padding.
    """

    index: int
    columns: int
    ranks: tuple[Rank, ...]
    value: FloatArray
    position: IntArray
    nonzeros: int

    @property
    def slots(self) -> int:
        return sum(r.slots for r in self.ranks)

    @property
    def gather_warps(self) -> int:
        return int(self.value.shape[1])

    @cached_property
    def used(self) -> NDArray[np.int64]:
        """Slots of every rank up to the last that holds a non-zero: [blocks, gather_warps, ranks]."""
        counts = np.zeros((*self.value.shape[:2], len(self.ranks)), np.int64)
        full: NDArray[np.bool_] = np.any(self.position < self.columns, axis=3)
        first = 0
        for i, rank in enumerate(self.ranks):
            numbered = full[:, :, first : first + rank.slots] * np.arange(1, rank.slots + 1)
            counts[:, :, i] = numbered.max(axis=2, initial=0)
            first += rank.slots
        return counts


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """The partition with its final positions, lanes of units, and one PhaseLayout a phase."""

    partition: Partition
    placements: Mapping[str, SpacePlacement]
    options: LayoutOptions
    phases: tuple[PhaseLayout, ...]


def lay_out(
    recurrence: Recurrence,
    weights: Mapping[str, FloatArray],
    partition: Partition,
    options: LayoutOptions,
) -> Layout:
    """The layout of every phase."""
    tile = options.tile
    nonzeros = {
        p.weight: tiles_by_row(weights[p.weight], tile) for phase in recurrence.phases for p in phase.products
    }
    placements = place_units(recurrence, nonzeros, partition, options)
    stacked = [(p, stack_rows(p, weights, partition, placements, tile)) for p in recurrence.phases]
    if options.even_banks and options.bank_order in (BankOrder.FOLDED, BankOrder.COLOURED):
        partition = _moved(partition, even_positions(stacked, partition.spaces, options.together, tile))
    phases = tuple(_lay_out_phase(p, rows, partition, placements, options) for p, rows in stacked)
    return Layout(partition, placements, options, phases)


def _moved(partition: Partition, positions: Mapping[str, IntArray]) -> Partition:
    spaces = {name: replace(s, position=positions[name]) for name, s in partition.spaces.items()}
    return replace(partition, spaces=spaces)


def _lay_out_phase(
    phase: Phase,
    rows: Rows,
    partition: Partition,
    placements: Mapping[str, SpacePlacement],
    options: LayoutOptions,
) -> PhaseLayout:
    tile = options.tile
    load = first_loads(rows, _positions(phase, rows, partition) // tile.run, options)
    lane, turn = deal_lanes(rows, load, options.together, options.bank_order)
    warps = max(max(placements[p.rows.name].warps_of_item) for p in phase.products)
    shape = (partition.blocks, warps, LANES)
    node = np.ravel_multi_index((rows.block[rows.row], rows.warp[rows.row], lane), shape)
    ranks, values, loads = [], [], []
    for rank, mine in _members(phase, rows, placements):
        lanes = placements[phase.products[rank.product].rows.name].lanes_per_row
        slot, at, padding = _order_slots(
            node[mine], load[mine], turn[mine], phase.columns // tile.run, shape, lanes, options
        )
        value = np.zeros((*padding.shape, tile.rows, tile.columns), np.float32)
        value[slot, at] = rows.value[mine]
        padding[slot, at] = load[mine]
        ranks.append(replace(rank, slots=len(padding)))
        values.append(value)
        loads.append(padding)
    return PhaseLayout(
        index=phase.index,
        columns=phase.columns,
        ranks=tuple(ranks),
        value=_by_warp(np.concatenate(values), shape),
        position=_by_warp(np.concatenate(loads), shape) * np.int32(tile.run),
        nonzeros=len(rows.value),
    )


def _by_warp(array: NDArray[Any], shape: tuple[int, int, int]) -> NDArray[Any]:
    """[slots, block * warp * lane, ...] -> [block, warp, slot, lane, ...]."""
    by_block = array.reshape(-1, *shape, *array.shape[2:])
    return np.ascontiguousarray(np.moveaxis(by_block, 0, 2))


def _positions(phase: Phase, rows: Rows, partition: Partition) -> IntArray:
    """Place of every non-zero's first column in the concatenated operand."""
    spaces = [partition.spaces[v.space.name].position for v in phase.published]
    first = np.cumsum([0, *(len(s) for s in spaces[:-1])])
    position: IntArray = np.concatenate([s + f for s, f in zip(spaces, first, strict=True)]).astype(np.int32)[
        rows.column + first[rows.vector]
    ]
    return position


def _members(
    phase: Phase, rows: Rows, placements: Mapping[str, SpacePlacement]
) -> Iterator[tuple[Rank, NDArray[np.int64]]]:
    """Every rank, product by product, its slots still open, and its non-zeros."""
    for i, p in enumerate(phase.products):
        warps_of_item = placements[p.rows.name].warps_of_item
        of_product = np.flatnonzero(rows.product[rows.row] == i)
        item = rows.item[rows.row[of_product]]
        for k, warps in enumerate(warps_of_item):
            yield Rank(i, k, warps, 0), of_product[item == k]


def _order_slots(
    node: NDArray[np.int64],
    load: IntArray,
    turn: NDArray[np.int64],
    loads: int,
    shape: tuple[int, int, int],
    lanes: int,
    options: LayoutOptions,
) -> tuple[NDArray[np.int64], NDArray[np.int64], IntArray]:
    """Slot and node of every non-zero of a rank, and null loads int32 [slots, nodes] for all others.

    ``load`` int32 numbers what a non-zero reads in loads of the operand, which has ``loads`` of them.
    ``node`` numbers the lanes of the whole grid, so that ``node // together`` is the load group, and
    ``node // lanes`` the row; a non-zero may be moved to another lane of its row and group.
    """
    together, nodes = options.together, int(np.prod(shape))
    if options.bank_order is BankOrder.FOLDED:
        slot, node = folded_slots(node, load % together, nodes, together, lanes)
    elif options.bank_order is BankOrder.COLOURED:
        slot = _coloured_slots(node, load, nodes, together)
    else:
        slot = place_in_lane(node, turn)
    padding = _null_loads(loads, int(slot.max(initial=-1)) + 1, nodes, together)
    if options.bank_order in (BankOrder.FOLDED, BankOrder.COLOURED):
        _move_padding(padding, slot, node, load, loads, together)
    if options.bank_order is BankOrder.FOLDED:
        _join_padding(padding, slot, node)
    return slot, node, padding


def _null_loads(loads: int, slots: int, nodes: int, together: int) -> IntArray:
    """Null positions [slots, nodes]: every lane has a bank of its own."""
    null = null_load(loads, np.arange(nodes), together).astype(np.int32)
    return np.repeat(null[None], slots, axis=0)


def null_load(loads: int, bank: NDArray[np.int64], together: int) -> NDArray[np.int64]:
    """The null load that lies in ``bank``: one of the ``together`` positions after the operand."""
    return loads + (bank - loads) % together


def _coloured_slots(node: NDArray[np.int64], load: IntArray, nodes: int, together: int) -> NDArray[np.int64]:
    """Slots such that no load group meets a bank twice.

    A warp needs as many as its busiest lane or bank; warps of equal need are coloured together. Every
    lane and every bank gets edges up to that degree, and an edge colouring orders them all.
    """
    bank = node // together * together + load % together
    by_lane, by_bank = (np.bincount(n, minlength=nodes) for n in (node, bank))
    warp_slots = np.maximum(by_lane, by_bank).reshape(-1, LANES).max(axis=1)
    slot = np.empty(len(node), np.int64)
    warp_of = node // LANES
    need = warp_slots[warp_of]
    for slots in np.unique(warp_slots[warp_slots > 0]):
        mine = np.flatnonzero(need == slots)
        warps = np.flatnonzero(warp_slots == slots)
        number = np.empty(len(warp_slots), np.int64)  # of each warp among these
        number[warps] = np.arange(len(warps))
        shift = (number[warp_of[mine]] - warp_of[mine]) * LANES
        lanes = (warps[:, None] * LANES + np.arange(LANES)).ravel()
        every = np.arange(len(lanes))
        left = np.concatenate([node[mine] + shift, np.repeat(every, slots - by_lane[lanes])])
        right = np.concatenate([bank[mine] + shift, np.repeat(every, slots - by_bank[lanes])])
        colour = colour_edges(left.astype(np.int32), right.astype(np.int32), int(slots))
        slot[mine] = colour[: len(mine)]
    return slot


def _move_padding(
    padding: IntArray,
    slot: NDArray[np.int64],
    node: NDArray[np.int64],
    load: IntArray,
    loads: int,
    together: int,
) -> None:
    """Lets the free lanes of a load read the banks that its other lanes leave free."""
    slots, nodes = padding.shape
    lane_free = np.ones((slots, nodes), bool)
    lane_free[slot, node] = False
    bank_free = np.ones((slots, nodes), bool)
    bank_free[slot, node // together * together + load % together] = False
    # A load group has at least as many free banks as lanes: the k-th free lane takes the k-th free bank.
    group_lanes, group_banks = lane_free.reshape(-1, together), bank_free.reshape(-1, together)
    wanted = group_lanes.sum(axis=1, keepdims=True)
    taken = group_banks & (np.cumsum(group_banks, axis=1) <= wanted)
    banks = np.flatnonzero(taken.ravel()) % together
    padding.ravel()[np.flatnonzero(lane_free.ravel())] = null_load(loads, banks, together)


def _join_padding(padding: IntArray, slot: NDArray[np.int64], node: NDArray[np.int64]) -> None:
    """Lets a warp that needs a slot no more read one place with all lanes, which is a single wavefront."""
    unused = np.ones((len(padding), padding.shape[1] // LANES), bool)
    unused[slot, node // LANES] = False
    by_warp = padding.reshape(*unused.shape, LANES)
    by_warp[unused] = by_warp[unused][:, :1]


def verify(layout: Layout) -> None:
    """Contract: nothing is lost, padding multiplies null positions by zero, coloured loads are free."""
    together, tile = layout.options.together, layout.options.tile
    for p in layout.phases:
        used = p.position < p.columns
        if int(used.sum()) != p.nonzeros:
            raise InternalError(
                "layout", f"phase {p.index}: {int(used.sum())} of {p.nonzeros} non-zeros placed"
            )
        if np.any(p.value[~used] != 0) or np.any(p.position >= p.columns + together * tile.run):
            raise InternalError("layout", f"phase {p.index}: padding has a value or no null position")
        if np.any(p.position % tile.run) or p.columns % tile.columns:
            raise InternalError("layout", f"phase {p.index}: a load begins within another")
        if layout.options.bank_order is BankOrder.COLOURED:
            load = p.position.reshape(-1, together) // tile.run
            for turn in range(tile.loads):
                if np.any(np.sort((load ^ turn) % together, axis=1) != np.arange(together)):
                    raise InternalError("layout", f"phase {p.index}: lanes that load together share a bank")


def verify_tiles(layout: Layout, recurrence: Recurrence) -> None:
    """Contract: the columns of a tile lie side by side in what is exchanged, and begin a load."""
    width = layout.options.tile.columns
    for name in {v.space.name for phase in recurrence.phases for v in phase.published}:
        position = layout.partition.spaces[name].position.reshape(-1, width)
        if np.any(position[:, 0] % width) or np.any(position - position[:, :1] != np.arange(width)):
            raise InternalError("layout", f"space {name}: columns of a tile lie apart")


def print_layout(layout: Layout) -> str:
    """Lanes of every space, then sizes, slots by rank and padding of every phase."""
    options = layout.options
    lines = [f"layout: {options.bank_order.value} slots, {options.warps} warps a block"]
    for name, space in layout.placements.items():
        considered = ", ".join(f"{lanes}: {cycles}" for lanes, cycles in space.cycles.items())
        lines.append(
            f"  space {name}: {space.lanes_per_row} lanes a row, {space.places} units a bundle, "
            f"{space.items} items; estimated cycles by lanes a row: {considered}"
        )
    for p in layout.phases:
        padding = 1 - p.nonzeros / p.position.size if p.position.size else 0.0
        lines.append(
            f"  phase {p.index}: {p.columns} columns, {p.nonzeros} non-zeros, {p.gather_warps} gathering "
            f"warps, {p.slots} slots a warp, {padding:.1%} padding"
        )
        for i, r in enumerate(p.ranks):
            used = p.used[:, : r.warps, i]
            lines.append(
                f"    product {r.product + 1}, item {r.item}: {used.min()} to {r.slots} slots of {r.warps} "
                f"warps, {used.mean():.1f} on average"
            )
    return "\n".join(lines) + "\n"
