"""What a plan gives up, step by step, when its kernel spills: first what costs the least time."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sprnnc.schedule.choices import Unpack
from sprnnc.schedule.plan import Plan

# Slots whose operand columns are loaded at once that still hide most of the latency.
FEW_LOADS = 8


@dataclass(frozen=True, slots=True)
class Relief:
    """``each_step``: slots are unpacked in every step. ``few_loads``: fewer loads are under way at once, and
    the number of the lane is read again where it is needed.

    ``slots``: at most so many are kept in registers, over all phases; None: as many as were planned.
    ``one_by_one``: no loads overlap, neither of slots in memory nor of operand columns.
    """

    each_step: bool = False
    few_loads: bool = False
    slots: int | None = None
    one_by_one: bool = False


def next_relief(plan: Plan, so_far: Relief, spill_bytes: int) -> Relief:
    """What to give up besides, after ``plan`` spilled ``spill_bytes``; what the user chose stays."""
    choices = plan.choices
    if plan.unpack is Unpack.ONCE and not so_far.each_step and not choices.unpack.by_user:
        return replace(so_far, each_step=True)
    if plan.loads_in_flight > FEW_LOADS and not so_far.few_loads and not choices.in_flight.by_user:
        return replace(so_far, few_loads=True)
    slots = sum(p.register_slots for p in plan.phases)
    if not slots:
        return NO_SLOTS
    spilt = -(-spill_bytes // (4 * plan.slot_format.words))
    return replace(so_far, slots=max(slots * 3 // 4, slots - spilt - 2))


# What the last build of a plan gives up, and of all plans: a wide batch has many columns for each load.
NO_SLOTS = Relief(each_step=True, few_loads=True, slots=0)
LAST_RELIEF = replace(NO_SLOTS, one_by_one=True)
