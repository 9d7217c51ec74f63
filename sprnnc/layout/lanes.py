"""Which lane of its row holds a non-zero, and which *load group* it is served with.

Lanes that load together (32, 16 or 8 for loads of 4, 8 or 16 bytes) are a load group; it takes one
wavefront where its lanes hit different banks. Loads of a group need as many slots as its busiest lane
and, where they must be free of conflicts, as its busiest bank.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sprnnc.layout.options import BankOrder
from sprnnc.layout.partition import IntArray
from sprnnc.layout.rows import Rows


def deal_lanes(
    rows: Rows, position: IntArray, together: int, order: BankOrder
) -> tuple[IntArray, NDArray[np.int64]]:
    """Lane 0 to 31 of every non-zero, and its turn: a row's non-zeros are dealt to its lanes one by one.

    ``position`` int32: which load of the operand brings what it multiplies. Coloured and folded: by bank, and
    first over the load groups that share the row, so that each gets its part of every bank. Greedy: one of
    each bank in turn. Plain: in the order of positions.
    """
    bank = position % together
    if order is BankOrder.PLAIN:
        turn = place_in_run(rows.row, np.lexsort((position, rows.row)))
    elif order is BankOrder.GREEDY:
        of_bank = place_in_run(rows.row * np.int64(together) + bank, np.lexsort((position, bank, rows.row)))
        turn = place_in_run(rows.row, np.lexsort((bank, of_bank, rows.row)))
    else:
        turn = place_in_run(rows.row, np.lexsort((bank, rows.row)))
    lanes = rows.lanes[rows.row]
    if order in (BankOrder.FOLDED, BankOrder.COLOURED):
        groups = np.maximum(1, lanes // together)
        within = turn % groups * together + turn // groups % np.minimum(lanes, together)
    else:
        within = turn % lanes
    lane: IntArray = (rows.place[rows.row] * lanes + within).astype(np.int32)
    return lane, turn


def place_in_lane(node: NDArray[np.int64], turn: NDArray[np.int64]) -> NDArray[np.int64]:
    """The slot of every non-zero where conflicts are taken as they come: a lane's fill in turn.

    ``node`` names the lane.
    """
    return place_in_run(node, np.lexsort((turn, node)))


def place_in_run(key: NDArray[Any], order: NDArray[np.int64]) -> NDArray[np.int64]:
    """The how-manieth of its key each element is, counted along ``order``, in which keys lie together."""
    ordered = key[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    runs = np.diff(np.concatenate([starts, [len(ordered)]]))
    place = np.empty(len(key), np.int64)
    place[order] = np.arange(len(key)) - np.repeat(starts, runs)
    return place
