"""Everything that text and page say about an artifact, worked out once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sprnnc.artifact import Artifact
from sprnnc.explanation.orders import OrderCost, lay_out_orders
from sprnnc.layout.partition import IntArray
from sprnnc.layout.tile import ONE_VALUE
from sprnnc.measurement import Measurement
from sprnnc.passes.recurrence import Phase, Recurrence
from sprnnc.prediction import gather_of, prediction_of
from sprnnc.schedule.banks import GatherCost
from sprnnc.schedule.joining import recurrence_of
from sprnnc.schedule.plan import PhasePlan
from sprnnc.schedule.predict import Prediction
from sprnnc.schedule.registers import slot_format
from sprnnc.schedule.slot_format import SlotFormat
from sprnnc.target import Target, find_target


@dataclass(frozen=True, slots=True, eq=False)
class PhaseFacts:
    """A phase that has slots. ``position`` int32 [blocks, gather_warps, slots, 32] of a lane's first load,
    from ``columns`` on null.

    ``used`` int32 [blocks, gather_warps, ranks]: slots that each warp needs of each rank.
    ``form``: how slots are packed, and ``by_value`` how they would be with an index for every value, which
    would take ``bytes_saved`` bytes more.
    ``orders``: what other orders of the loads cost, where that was asked for.
    """

    plan: PhasePlan
    model: Phase
    position: IntArray
    used: NDArray[np.int32]
    cost: GatherCost
    form: SlotFormat
    by_value: SlotFormat
    bytes_saved: int
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
    recurrence = recurrence_of(artifact.model.cell, plan.choices)
    target = find_target(plan.target)
    orders = lay_out_orders(artifact, recurrence, target) if compare_orders else {}
    phases = {
        p.index: _phase_facts(artifact, recurrence, p, orders.get(p.index, ()))
        for p in plan.phases
        if p.slots
    }
    return Facts(artifact, recurrence, target, phases, prediction_of(artifact), measurement)


def _phase_facts(
    artifact: Artifact, recurrence: Recurrence, phase: PhasePlan, orders: tuple[OrderCost, ...]
) -> PhaseFacts:
    plan, model = artifact.plan, recurrence.phases[phase.index - 1]
    form, by_value = plan.slot_format, slot_format(artifact.model, recurrence, ONE_VALUE)
    gather = gather_of(artifact, phase)
    nonzeros = sum(int(np.count_nonzero(artifact.tensors[p.weight])) for p in model.products)
    filled = int((gather.position < phase.columns).sum())
    return PhaseFacts(
        plan=phase,
        model=model,
        position=gather.position,
        used=gather.used,
        cost=gather.cost,
        form=form,
        by_value=by_value,
        bytes_saved=4 * (nonzeros * by_value.words - filled * form.words),
        orders=orders,
    )
