"""What the other orders of the loads would cost for an artifact's matrices, the paper's greedy one too."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sprnnc.artifact import Artifact
from sprnnc.layout.layout import lay_out
from sprnnc.layout.options import BankOrder
from sprnnc.layout.partition import partition
from sprnnc.passes.recurrence import Recurrence
from sprnnc.schedule.banks import GatherCost, gather_cost
from sprnnc.schedule.registers import layout_options
from sprnnc.target import Target


def mean_used(used: NDArray[Any]) -> float:
    """Slots that a warp uses on average, of [blocks, warps, ranks]: it skips those after its last."""
    return float(used.sum(axis=2).mean())


@dataclass(frozen=True, slots=True)
class OrderCost:
    """One order of the loads: ``slots`` a lane, those that a warp uses on average, and what all cost."""

    order: BankOrder
    slots: int
    used: float
    cost: GatherCost

    @property
    def wavefronts(self) -> int:
        """Wavefronts of the slots that warps use; the others hold nothing but padding, free of conflicts."""
        return round(self.cost.wavefronts - self.cost.ideal_wavefronts * (1 - self.used / self.slots))


def lay_out_orders(
    artifact: Artifact, recurrence: Recurrence, target: Target
) -> dict[int, tuple[OrderCost, ...]]:
    """By phase, every order but the artifact's own: laid out by the same code on as many lanes a row."""
    plan, weights = artifact.plan, artifact.tensors
    nonzeros = {w.name: np.count_nonzero(weights[w.name], axis=1) for w in artifact.model.cell.weights}
    parts = partition(recurrence, nonzeros, plan.choices.blocks.value, plan.tile, plan.choices.devices.value)
    options = layout_options(artifact.model, recurrence, plan.choices, plan.batch, target, plan.tile)
    lanes = {s.lanes_per_row for s in plan.spaces}
    if len(lanes) == 1:  # otherwise each order takes what it finds best
        options = replace(options, lanes_per_row=lanes.pop())
    found: dict[int, tuple[OrderCost, ...]] = {}
    for order in BankOrder:
        if order is plan.choices.bank_order.value:
            continue
        layout = lay_out(recurrence, weights, parts, replace(options, bank_order=order))
        for p in layout.phases:
            made = OrderCost(order, p.slots, mean_used(p.used), gather_cost(plan, p.position, p.columns))
            found[p.index] = (*found.get(p.index, ()), made)
    return found
