"""Everything that text and page say about an artifact, worked out once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sprnnc.artifact import Artifact
from sprnnc.explanation.orders import OrderCost, lay_out_orders
from sprnnc.layout.partition import IntArray
from sprnnc.measurement import Measurement
from sprnnc.passes.phases import split_into_phases
from sprnnc.passes.recurrence import Phase, Recurrence
from sprnnc.schedule.banks import GatherCost, gather_cost
from sprnnc.schedule.plan import PhasePlan
from sprnnc.schedule.predict import Prediction, predict
from sprnnc.schedule.slot_words import unpack_slots
from sprnnc.target import Target, find_target


@dataclass(frozen=True, slots=True, eq=False)
class PhaseFacts:
    """A phase that has slots. ``position`` int32 [blocks, gather_warps, slots, 32], from ``columns`` on null.

    ``used`` int32 [blocks, gather_warps, ranks]: slots that each warp needs of each rank.
    ``orders``: what other orders of the loads cost, where that was asked for.
    """

    plan: PhasePlan
    model: Phase
    position: IntArray
    used: NDArray[np.int32]
    cost: GatherCost
    orders: tuple[OrderCost, ...]

    @property
    def nonzero(self) -> NDArray[np.bool_]:
        """Which places hold a non-zero."""
        filled: NDArray[np.bool_] = self.position < self.plan.columns
        return filled


@dataclass(frozen=True, slots=True, eq=False)
class Facts:
    """``phases`` by number, without those that have no slots; ``prediction`` None where none can be made."""

    artifact: Artifact
    recurrence: Recurrence
    target: Target
    phases: dict[int, PhaseFacts]
    prediction: Prediction | None
    measurement: Measurement | None


def gather_facts(
    artifact: Artifact, measurement: Measurement | None = None, compare_orders: bool = False
) -> Facts:
    """The facts; with ``compare_orders`` every matrix is laid out three times more."""
    plan = artifact.plan
    recurrence = split_into_phases(artifact.model.cell)
    target = find_target(plan.target)
    orders = lay_out_orders(artifact, recurrence, target) if compare_orders else {}
    phases = {
        p.index: _phase_facts(artifact, p, model, orders.get(p.index, ()))
        for p, model in zip(plan.phases, recurrence.phases, strict=True)
        if p.slots
    }
    used = {i: p.used for i, p in phases.items()}
    costs = {i: p.cost for i, p in phases.items()}
    prediction = predict(plan, recurrence, target, used, costs)
    return Facts(artifact, recurrence, target, phases, prediction, measurement)


def _phase_facts(
    artifact: Artifact, phase: PhasePlan, model: Phase, orders: tuple[OrderCost, ...]
) -> PhaseFacts:
    plan = artifact.plan
    words = artifact.packed[f"slots_{phase.index}"]
    _, position = unpack_slots(words, phase, plan.dtype, plan.encoding)
    cost = gather_cost(plan, position, phase.columns)
    return PhaseFacts(phase, model, position, artifact.packed[f"used_{phase.index}"], cost, orders)
