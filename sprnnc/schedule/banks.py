"""Counts what the shared-memory gather of a layout costs: wavefronts, conflicts, padding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sprnnc.layout.partition import IntArray
from sprnnc.schedule.plan import Plan

_WAVEFRONT_BYTES = 128


@dataclass(frozen=True, slots=True)
class GatherCost:
    """Of one phase and one step, over all blocks and column groups.

    ``loads``: warp-wide loads; ``wavefronts``: 128-byte passes that they take; ``ideal_wavefronts``
    where no two lanes conflict; ``padding``: share of lane slots without a non-zero.
    """

    loads: int
    wavefronts: int
    ideal_wavefronts: int
    padding: float

    @property
    def conflicts_per_load(self) -> float:
        """Extra wavefronts that one warp-wide load takes, on average."""
        return (self.wavefronts - self.ideal_wavefronts) / self.loads if self.loads else 0.0


def gather_cost(plan: Plan, position: IntArray, columns: int) -> GatherCost:
    """The cost of gathering ``position`` int32 [blocks, warps, slots, 32]; padding reads from ``columns`` on.

    Lanes that load together are 32, 16 or 8 for loads of 4, 8 or 16 bytes; each takes as many
    wavefronts as the busiest bank has distinct addresses. The loads of a tile, ``position ^ 0``,
    ``position ^ 1``, ... in loads, meet as often as the first ones.
    """
    together = _WAVEFRONT_BYTES // plan.load_bytes
    lanes = position.reshape(-1, together) // plan.tile.run
    ordered = np.sort(lanes, axis=1)
    distinct = np.ones_like(ordered, dtype=bool)
    distinct[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    busiest = np.zeros(len(ordered), np.int64)
    for bank in range(together):
        np.maximum(busiest, (distinct & (ordered % together == bank)).sum(axis=1), out=busiest)
    each = plan.groups * plan.tile.loads
    return GatherCost(
        loads=position.size // 32 * each,
        wavefronts=int(busiest.sum()) * each,
        ideal_wavefronts=len(lanes) * each,
        padding=float((position >= columns).mean()) if position.size else 0.0,
    )
