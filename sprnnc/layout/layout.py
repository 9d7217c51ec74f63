"""Pass 5, Recurrence + matrices + partition -> Layout: warp, lane and slot of every non-zero.

In this plain layout a row belongs to one warp, and its non-zeros fill slots in column order: the
k-th goes to lane k % 32 of slot k // 32. A block's rows, longest first, are dealt to its warps, so
that rows of one *rank* are of similar length in all warps; every rank has as many slots as its
longest row needs anywhere, which makes the kernel's loops constant.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sprnnc.diagnostics import InternalError
from sprnnc.layout.partition import IntArray, Partition
from sprnnc.passes.recurrence import Phase, Product, Recurrence

LANES = 32
FloatArray = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class PhaseLayout:
    """Where the non-zeros of one phase's stacked matrix live.

    ``columns``: length of the concatenated operand; position ``columns`` is the null position,
    which always holds zero: padding reads it.
    ``slots_of_rank``: slots of each row rank, the same in every warp.
    ``value`` float32, ``position`` int32 [blocks, warps, slots, 32]; padding is (0, columns).
    ``total_index``: for each product, int32 [blocks, units_per_block]: where in the block's row
    totals (rank * warps + warp) the sum of a unit's row ends up.
    """

    index: int
    columns: int
    slots_of_rank: tuple[int, ...]
    value: FloatArray
    position: IntArray
    total_index: Mapping[str, IntArray]
    nonzeros: int

    @property
    def slots(self) -> int:
        return sum(self.slots_of_rank)


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """The partition and one PhaseLayout a phase."""

    partition: Partition
    warps: int
    phases: tuple[PhaseLayout, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """Rows of a phase's stacked matrix: product, unit, owner, and non-zeros in column order."""

    product: IntArray
    unit: IntArray
    block: IntArray
    local: IntArray
    count: NDArray[np.int64]
    first: NDArray[np.int64]  # into position and value
    position: IntArray
    value: FloatArray


def lay_out(
    recurrence: Recurrence, weights: Mapping[str, FloatArray], partition: Partition, warps: int
) -> Layout:
    """The plain layout of every phase."""
    phases = tuple(
        _lay_out_phase(recurrence, phase, weights, partition, warps) for phase in recurrence.phases
    )
    return Layout(partition, warps, phases)


def _lay_out_phase(
    recurrence: Recurrence,
    phase: Phase,
    weights: Mapping[str, FloatArray],
    partition: Partition,
    warps: int,
) -> PhaseLayout:
    rows = _stack(phase, weights, partition)
    rank, warp = _deal_rows(rows, partition.blocks, warps)
    slots_needed = -(-rows.count // LANES)
    ranks = int(rank.max()) + 1
    slots_of_rank = np.zeros(ranks, np.int64)
    np.maximum.at(slots_of_rank, rank, slots_needed)
    first_slot = np.concatenate([[0], np.cumsum(slots_of_rank)[:-1]])

    shape = (partition.blocks, warps, int(slots_of_rank.sum()), LANES)
    value = np.zeros(shape, np.float32)
    position = np.full(shape, phase.columns, np.int32)
    row = np.repeat(np.arange(len(rows.count)), rows.count)
    k = np.arange(len(row)) - rows.first[row]
    at = (rows.block[row], warp[row], first_slot[rank[row]] + k // LANES, k % LANES)
    value[at] = rows.value
    position[at] = rows.position

    total_index = {}
    for i, product in enumerate(phase.products):
        table = np.zeros_like(partition.spaces[product.rows.name].unit)
        mine = rows.product == i
        table[rows.block[mine], rows.local[mine]] = rank[mine] * warps + warp[mine]
        total_index[product.name] = table
    return PhaseLayout(
        phase.index,
        phase.columns,
        tuple(int(s) for s in slots_of_rank),
        value,
        position,
        total_index,
        len(rows.value),
    )


def _stack(phase: Phase, weights: Mapping[str, FloatArray], partition: Partition) -> _Rows:
    """Stacks the phase's matrices; columns become positions of the concatenated operand."""
    product, unit, block, local, count, position, value = ([] for _ in range(7))
    for i, p in enumerate(phase.products):
        matrix = weights[p.weight]
        space = partition.spaces[p.rows.name]
        r, c = np.nonzero(matrix)
        column_position = _positions_of_columns(phase, p, partition)[c]
        order = np.lexsort((column_position, r))
        product.append(np.full(len(matrix), i, np.int32))
        unit.append(np.arange(len(matrix), dtype=np.int32))
        block.append(space.block)
        local.append(space.local)
        count.append(np.bincount(r, minlength=len(matrix)))
        position.append(column_position[order])
        value.append(matrix[r, c][order])
    counts = np.concatenate(count).astype(np.int64)
    first = np.concatenate([[0], np.cumsum(counts)[:-1]])
    return _Rows(
        np.concatenate(product),
        np.concatenate(unit),
        np.concatenate(block),
        np.concatenate(local),
        counts,
        first,
        np.concatenate(position).astype(np.int32),
        np.concatenate(value).astype(np.float32),
    )


def _positions_of_columns(phase: Phase, product: Product, partition: Partition) -> IntArray:
    vector = next(v for v in phase.published if v.name == product.operand)
    positions: IntArray = partition.spaces[vector.space.name].position + phase.first_column(vector.name)
    return positions


def _deal_rows(rows: _Rows, blocks: int, warps: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rank and warp of every row: longest first, in serpentine order over the warps of its block."""
    rank = np.empty(len(rows.count), np.int64)
    warp = np.empty(len(rows.count), np.int64)
    order = np.lexsort((-rows.count, rows.block))
    owners = rows.block[order]
    starts = np.searchsorted(owners, np.arange(blocks))
    place = np.arange(len(order)) - starts[owners]
    rank[order] = place // warps
    turn = place % warps
    warp[order] = np.where(rank[order] % 2 == 0, turn, warps - 1 - turn)
    return rank, warp


def verify(layout: Layout) -> None:
    """Contract: no non-zero is lost, and padding multiplies the null position by zero."""
    for p in layout.phases:
        used = p.position != p.columns
        if int(used.sum()) != p.nonzeros:
            raise InternalError(
                "layout", f"phase {p.index}: {int(used.sum())} of {p.nonzeros} non-zeros placed"
            )
        if np.any(p.value[~used] != 0):
            raise InternalError("layout", f"phase {p.index}: padding has a value")


def print_layout(layout: Layout) -> str:
    """Sizes of every phase's layout: slots by rank, padding."""
    lines = [f"layout: a row to a warp, {layout.warps} warps a block"]
    for p in layout.phases:
        places = p.value.size
        padding = 1 - p.nonzeros / places if places else 0.0
        lines.append(
            f"  phase {p.index}: {p.columns} columns, {p.nonzeros} non-zeros, "
            f"{p.slots} slots a warp, {padding:.1%} padding"
        )
        lines += [f"    rank {r}: {s} slots" for r, s in enumerate(p.slots_of_rank)]
    return "\n".join(lines) + "\n"
