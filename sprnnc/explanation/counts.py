"""Counts of a phase's slots that pictures are made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sprnnc.explanation.facts import PhaseFacts

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]


def nonzeros_by_warp(phase: PhaseFacts) -> IntArray:
    """How many non-zeros live in each warp, or values of tiles that hold any: [blocks, gather_warps]."""
    return _filled(phase) * phase.form.tile.values


def _filled(phase: PhaseFacts) -> IntArray:
    """Places of each warp that hold a non-zero."""
    counts: IntArray = phase.nonzero.sum(axis=(2, 3), dtype=np.int64)
    return counts


@dataclass(frozen=True, slots=True, eq=False)
class WarpSlots:
    """Slots of a lane by warp, means over all blocks, float64 [gather_warps].

    ``filled`` hold a non-zero; ``used`` are those up to the last one of a rank that does, ``kept`` all.
    """

    filled: FloatArray
    used: FloatArray
    kept: int


def slots_by_warp(phase: PhaseFacts) -> WarpSlots:
    """How much of a warp's slots is non-zeros, and how much it runs through."""
    filled = _filled(phase).mean(axis=0) / phase.position.shape[3]
    return WarpSlots(filled, phase.used.sum(axis=2).mean(axis=0), phase.position.shape[2])


def reads_by_bank(phase: PhaseFacts, together: int) -> IntArray:
    """How many banks of a load group have 0, 1, 2, ... first loads to serve in a step, over all groups.

    A load group is the ``together`` lanes of a warp that one wavefront serves; one that reads nothing at
    all does not count.
    """
    blocks, warps, _, lanes = phase.position.shape
    groups = lanes // together
    block, warp, slot, lane = np.nonzero(phase.nonzero)
    group = (block * warps + warp) * groups + lane // together
    bank = phase.position[block, warp, slot, lane] // phase.form.tile.run % together
    reads = np.bincount(group * together + bank, minlength=blocks * warps * groups * together)
    by_group = reads.reshape(-1, together)
    return np.bincount(by_group[by_group.any(axis=1)].ravel()).astype(np.int64)
