"""Predicts the time of a step by part, from a plan, its slots and the measured constants of its target.

Exchange, gather, reduction and activation of a phase wait for each other, and phases too, and several
devices for the link between them: everything adds up, but for products of the inputs that a block gathers
while it waits for others. The gather's cycles are those of the layout's own estimate
(``layout/cycles.py``), but counted from the very slots, block by block; a step waits for the slowest block.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sprnnc.cell.ir import DType
from sprnnc.layout.cycles import (
    ROUND_CYCLES,
    SCHEDULERS,
    SHUFFLE_INSTRUCTIONS,
    STREAMED_CYCLES,
    Bound,
    GatherBounds,
    reduction_rounds,
    reduction_shuffles,
)
from sprnnc.passes.recurrence import Phase, Recurrence
from sprnnc.schedule.banks import GatherCost
from sprnnc.schedule.choices import Activations, Tier
from sprnnc.schedule.joining import wait_cycles
from sprnnc.schedule.plan import PhasePlan, Plan, RowGroup, Segment
from sprnnc.schedule.registers import slot_instructions
from sprnnc.target import Target

# Hopper, about: the equations of one level, a function or two after each other.
_LEVEL_CYCLES = {Activations.FAST: 60, Activations.ACCURATE: 120}

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Prediction:
    """Microseconds of one step. ``bounds``: what decides the gather of each phase.

    ``meanwhile``: what products of the inputs take within the exchange; the rest of them is in ``gather``.
    ``link``: by how much what other devices publish comes later; 0 with one device.
    """

    exchange: float
    gather: float
    reduce: float
    activation: float
    bounds: tuple[Bound, ...]
    meanwhile: float = 0.0
    link: float = 0.0

    @property
    def floor(self) -> float:
        """The exchange alone: what no layout and no sparsity goes below."""
        return self.exchange + self.link

    @property
    def total(self) -> float:
        return sum(us for _, us in self.parts)

    @property
    def parts(self) -> tuple[tuple[str, float], ...]:
        """The parts in the order of a step."""
        return (
            ("exchange", self.exchange),
            *([("link", self.link)] if self.link else []),
            ("gather", self.gather),
            ("reduce", self.reduce),
            ("activation", self.activation),
        )


def predict(
    plan: Plan,
    recurrence: Recurrence,
    target: Target,
    used: Mapping[int, NDArray[np.int32]],
    costs: Mapping[int, GatherCost],
) -> Prediction | None:
    """A step of ``plan``, or None where nothing was measured on its target.

    ``used``: slots that each rank of each warp needs, [blocks, gather_warps, ranks], by phase, and
    ``costs``: what their loads cost. A phase without slots is in neither.
    """
    devices = plan.choices.devices.value
    sizes = [plan.exchange_bytes(p) for p in plan.exchanges]
    floors = [us for n in sizes if (us := target.exchange_floor_us(n)) is not None]
    links = [us for n in sizes if (us := target.link_floor_us(n, devices)) is not None]
    if target.clock_ghz is None or min(len(floors), len(links)) < len(sizes):
        return None
    gather = reduce = meanwhile = 0.0
    bounds = []
    for phase, model in zip(plan.phases, recurrence.phases, strict=True):
        if phase.slots:
            work = _work(plan, phase, model, used[phase.index], costs[phase.index])
            slots_alone, everything = work.bounds(reducing=False), work.bounds(reducing=True)
            if phase.joined:
                taken = everything.cycles + work.latency
                wait = wait_cycles(target, plan.exchange_bytes(plan.phases[0]), plan.choices)
                meanwhile = min(taken, wait or 0)
                gather += taken - meanwhile
                continue
            gather += slots_alone.cycles
            reduce += everything.cycles - slots_alone.cycles + work.latency
            bounds.append(slots_alone.decides)
    levels = {e.level for e in recurrence.equations}
    cycles_a_us = target.clock_ghz * 1000
    return Prediction(
        exchange=sum(floors),
        gather=gather / cycles_a_us,
        reduce=reduce / cycles_a_us,
        activation=_LEVEL_CYCLES[plan.choices.activations.value] * len(levels) / cycles_a_us,
        bounds=tuple(bounds),
        meanwhile=meanwhile / cycles_a_us,
        link=sum(links),
    )


@dataclass(slots=True)
class _Work:
    """What every warp of a phase does, float64 [blocks, gather_warps]; ``latency`` in cycles."""

    wavefronts: FloatArray
    instructions: FloatArray
    shuffles: FloatArray
    latency: float = field(default=0.0)

    def bounds(self, reducing: bool) -> GatherBounds:
        """The bounds of the slowest block."""
        wavefronts = self.wavefronts + reducing * self.shuffles
        instructions = self.instructions + reducing * SHUFFLE_INSTRUCTIONS * self.shuffles
        blocks = [_block_bounds(w, i) for w, i in zip(wavefronts, instructions, strict=True)]
        return max(blocks, key=lambda b: b.cycles)


def _block_bounds(wavefronts: FloatArray, instructions: FloatArray) -> GatherBounds:
    busiest = max(float(instructions[first::SCHEDULERS].sum()) for first in range(SCHEDULERS))
    alone = float(instructions.max())
    return GatherBounds.of(float(wavefronts.sum()), busiest, alone, len(instructions))


def _work(plan: Plan, phase: PhasePlan, model: Phase, used: NDArray[np.int32], cost: GatherCost) -> _Work:
    """Adds up the ranks of every warp; a step of a warp's rows waits for the most rounds of any product."""
    shape = used.shape[:2]
    work = _Work(np.zeros(shape), np.zeros(shape), np.zeros(shape))
    each = slot_instructions(plan.slot_format, plan.accumulate, plan.choices, plan.groups, plan.unpack)
    conflicts = (cost.wavefronts - cost.ideal_wavefronts) / max(1, int(used.sum()))  # padding has none
    wavefronts_a_slot = plan.groups * plan.tile.loads * cost.ideal_wavefronts / cost.loads + conflicts
    rank = 0
    for group in phase.row_groups:
        lanes = plan.space(model.products[group.product].rows.name).lanes_per_row
        sums = plan.tile.rows * plan.width
        work.latency = max(work.latency, ROUND_CYCLES * sum(reduction_rounds(lanes, sums)))
        shuffles = plan.groups * reduction_shuffles(lanes, sums)
        for _ in range(group.items):
            slots = np.zeros(shape)
            for tier, run in _slots_run(plan, group, used[:, :, rank]):
                slots += run
                work.wavefronts += run * plan.slot_format.words * _CYCLES_A_WORD[tier]
            work.wavefronts += slots * wavefronts_a_slot
            work.instructions += slots * each
            work.shuffles[:, : group.warps] += shuffles
            rank += 1
    return work


# Of the shared-memory pipe and what stands before it, to bring one word of every lane of a warp.
_CYCLES_A_WORD = {Tier.REGISTER: 0, Tier.SHARED: 1, Tier.STREAMED: STREAMED_CYCLES}


def _slots_run(plan: Plan, group: RowGroup, used: NDArray[np.int32]) -> list[tuple[Tier, FloatArray]]:
    """Slots that every warp really runs of each segment: it stops at the end of a chain, or of a load."""
    runs, before = [], 0
    for segment in group.segments:
        runs.append((segment.tier, _run_of(plan, segment, used - before)))
        before += segment.slots
    return runs


def _register_run(plan: Plan) -> int:
    """Slots in registers between two looks at whether there are more."""
    return plan.chain_slots if plan.accumulate is DType.FP16 else max(1, 8 // plan.tile.values)


def _run_of(plan: Plan, segment: Segment, used: NDArray[np.int32]) -> FloatArray:
    memory = segment.tier is not Tier.REGISTER
    stride = plan.slot_format.slots_per_run if memory else _register_run(plan)
    whole = -(-np.clip(used, 0, segment.slots) // stride) * stride
    return np.minimum(whole, segment.slots).astype(np.float64)
