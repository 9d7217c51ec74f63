"""What a step of a compiled layer is predicted to take, from the very slots of its artifact."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sprnnc.artifact import Artifact
from sprnnc.layout.partition import IntArray
from sprnnc.schedule.banks import GatherCost, gather_cost
from sprnnc.schedule.joining import recurrence_of
from sprnnc.schedule.plan import PhasePlan
from sprnnc.schedule.predict import Prediction, predict
from sprnnc.schedule.slot_words import unpack_slots
from sprnnc.target import find_target


@dataclass(frozen=True, slots=True, eq=False)
class Gather:
    """What a phase reads. ``position`` int32 [blocks, gather_warps, slots, 32] of a lane's first load, from
    the phase's ``columns`` on null. ``used`` int32 [blocks, gather_warps, ranks]: slots that each warp
    needs of each rank."""

    position: IntArray
    used: NDArray[np.int32]
    cost: GatherCost


def gather_of(artifact: Artifact, phase: PhasePlan) -> Gather:
    """For a phase that has slots."""
    plan, packed = artifact.plan, artifact.packed
    _, position = unpack_slots(packed[f"slots_{phase.index}"], phase, plan.slot_format)
    return Gather(position, packed[f"used_{phase.index}"], gather_cost(plan, position, phase.columns))


def prediction_of(artifact: Artifact) -> Prediction | None:
    """A step of ``artifact``, or None where nothing was measured on its target."""
    plan = artifact.plan
    gathers = {p.index: gather_of(artifact, p) for p in plan.phases if p.slots}
    used = {i: g.used for i, g in gathers.items()}
    costs = {i: g.cost for i, g in gathers.items()}
    return predict(
        plan, recurrence_of(artifact.model.cell, plan.choices), find_target(plan.target), used, costs
    )


def predicted_us(artifacts: Iterable[Artifact]) -> float | None:
    """Microseconds of a step of each, added up; None if one cannot be predicted."""
    total = 0.0
    for artifact in artifacts:
        prediction = prediction_of(artifact)
        if prediction is None:
            return None
        total += prediction.total
    return total
