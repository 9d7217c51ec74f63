"""What a plan gives up, step by step, when its kernel spills: first what costs the least time."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sprnnc.schedule.choices import Unpack
from sprnnc.schedule.plan import Plan

# Loads of operand columns under way at once that still hide most of their latency.
FEW_LOADS = 8


@dataclass(frozen=True, slots=True)
class Relief:
    """``each_step``: slots are unpacked in every step. ``few_loads``: fewer loads are under way at once.

    ``slots``: at most so many are kept in registers, over all phases; None: as many as were planned.
    """

    each_step: bool = False
    few_loads: bool = False
    slots: int | None = None


def next_relief(plan: Plan, so_far: Relief, spill_bytes: int) -> Relief:
    """What to give up besides, after ``plan`` spilled ``spill_bytes``."""
    if plan.unpack is Unpack.ONCE and not so_far.each_step:
        return replace(so_far, each_step=True)
    if plan.loads_in_flight > FEW_LOADS and not so_far.few_loads:
        return replace(so_far, few_loads=True)
    slots = sum(p.register_slots for p in plan.phases)
    spilt = -(-spill_bytes // (4 * plan.slot_format.words))
    return replace(so_far, slots=max(slots * 3 // 4, slots - spilt - 2))


LAST_RELIEF = Relief(each_step=True, few_loads=True, slots=0)
