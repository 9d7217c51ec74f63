"""The fewest slots that a load group can have, with its banks no busier than its non-zeros make them.

A bank that a load group reads d times keeps the pipe of shared memory busy for d wavefronts whatever
the order, so slots of padding that keep loads apart save nothing but cost their instructions. Here a
lane's non-zeros fill the slots without a gap, and loads that meet a bank twice share few slots: a group
takes as many wavefronts as with an edge colouring (``colouring.py``), in fewer slots.

Slots are filled one after the other, each with the loads whose banks have the most left: a bank is a
task, a wavefront an hour, and tasks may be interrupted (McNaughton 1959, "Scheduling with deadlines and
loss functions"). With one row a group this is exact but for a wavefront in a thousand; rows that share a
group take turns, and need about 2 % more wavefronts than their busiest bank.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sprnnc.layout.options import LANES

IntArray = NDArray[Any]

_URGENT = 1 << 20


def folded_slots(
    node: NDArray[np.int64], bank: IntArray, nodes: int, together: int, lanes_per_row: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Slot and lane of every non-zero: a lane of the row and load group that ``node`` lies in.

    ``node`` int64 and ``bank`` int [non-zeros]: lanes of the grid's ``nodes``, and what bank they read.
    """
    if not len(node):
        return node, node
    lanes = min(lanes_per_row, together)
    groups, rows = nodes // together, together // lanes
    place = (node // lanes) * together + bank  # of a row's part in this load group: its loads of a bank
    counts = np.bincount(place, minlength=groups * rows * together).reshape(groups, rows, together)
    longest = -(-counts.sum(axis=2).max(axis=1) // lanes)
    warp_slots = longest.reshape(-1, LANES // together).max(axis=1)
    picks = fold(counts, lanes, np.repeat(warp_slots, LANES // together))
    order = np.argsort(place, kind="stable")
    by_place = picks.reshape(len(picks), -1).T  # [place, slots]
    slot, lane = np.empty(len(node), np.int64), np.empty(len(node), np.int64)
    slot[order] = np.repeat(np.tile(np.arange(len(picks)), len(by_place)), by_place.ravel())
    before = (np.cumsum(picks, axis=3, dtype=np.int32) - picks).reshape(len(picks), -1).T.ravel()
    runs = by_place.ravel()
    within = np.arange(len(node)) - np.repeat(np.cumsum(runs) - runs, runs)
    lane[order] = np.repeat(before, runs) + within
    return slot, node // lanes * lanes + lane


def fold(counts: IntArray, lanes: int, slots: IntArray) -> IntArray:
    """How many loads of each bank a row makes in each slot: int16 [slots, groups, rows, banks].

    ``counts`` int [groups, rows, banks]: loads of a row by bank; the rows of a group have ``lanes``
    lanes each, and ``slots`` int [groups] slots, at least a ``lanes``-th of the loads of any row.
    """
    left = counts.astype(np.int32)
    picks = np.zeros((int(slots.max(initial=0)), *counts.shape), np.int16)
    for s in range(len(picks)):
        rest = np.maximum(slots - s, 0)
        most = _wavefronts(left, rest)
        for turn in range(counts.shape[1]):
            row = (turn + s) % counts.shape[1]  # another row chooses first each time
            free = most[:, None] - picks[s].sum(axis=1)
            chosen = _choose(left[:, row], left.sum(axis=1), free, lanes)
            picks[s, :, row] = chosen
            left[:, row] -= chosen
            late = left[:, row].sum(axis=1) - (rest - 1) * lanes
            behind = np.flatnonzero((late > 0) & (rest > 0))
            if len(behind):
                more = _choose(left[behind, row], left[behind, row], left[behind, row], late[behind])
                picks[s, behind, row] += more.astype(np.int16)
                left[behind, row] -= more
    return picks


def _wavefronts(left: IntArray, rest: IntArray) -> IntArray:
    """Wavefronts that each group's next slot may take; those that take more come last."""
    busiest = left.sum(axis=1).max(axis=1)
    remaining = np.maximum(rest, 1)
    more = busiest - busiest // remaining * remaining
    most: IntArray = np.maximum(busiest // remaining + (remaining <= more), 1) * (rest > 0)
    return most


def _choose(mine: IntArray, pressure: IntArray, free: IntArray, limit: int | IntArray) -> IntArray:
    """At most ``limit`` loads, where ``mine`` and ``free`` allow them, all int [groups, banks].

    Once each of the banks with the most ``pressure``, which would otherwise end late, then those that
    the row itself has most left of, so that it can choose to the end.
    """
    allowed = np.minimum(mine, free)
    nth = np.arange(int(allowed.max(initial=0)))
    urgent = pressure >= pressure.max(axis=1, keepdims=True) - 1
    key = mine[:, :, None] - nth + _URGENT * (urgent[:, :, None] & (nth == 0))
    key = np.where(nth < allowed[:, :, None], key, 0).reshape(len(mine), -1)
    order = np.argsort(-key, axis=1, kind="stable")
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.arange(key.shape[1])[None], axis=1)
    taken = (rank < np.reshape(limit, (-1, 1))) & (key > 0)
    chosen: IntArray = taken.reshape(*mine.shape, len(nth)).sum(axis=2)
    return chosen
