"""Pass 6, Layout + Choices -> Plan: tiers, loops and shared memory, or why it does not fit."""

from __future__ import annotations

from collections.abc import Sequence

from sprnnc.cell.ir import DType, Model, Space
from sprnnc.diagnostics import InternalError
from sprnnc.layout.layout import LANES, Layout, PhaseLayout
from sprnnc.passes.recurrence import Recurrence
from sprnnc.schedule.choices import Choices, Encoding, Tier, print_choices
from sprnnc.schedule.memory import PhaseMemory, column_groups, fixed_memory
from sprnnc.schedule.plan import PhasePlan, Plan, RowGroup, Segment, SpacePlan
from sprnnc.target import Target

_NARROW_POSITIONS = 1 << 16
# Registers that the kernel needs besides slots: addresses, counters, a row's pointers (measured on
# the examples); a plan that spills all the same comes back with a smaller budget.
_BASE_REGISTERS = 56


def assemble(
    model: Model,
    recurrence: Recurrence,
    layout: Layout,
    choices: Choices,
    batch: int,
    target: Target,
    register_limit: int | None = None,
) -> Plan:
    """The Plan. ``register_limit`` caps register slots after a build that spilled.

    Raises CompileError E410 when the operands do not fit into shared memory (see ``fixed_memory``).
    """
    memory = fixed_memory(model, recurrence, choices, batch, target)
    width, groups = choices.column_width.value, column_groups(batch, choices)
    widest = max((p.columns for p in layout.phases), default=0)
    narrow = model.dtype is not DType.FP32 and widest < _NARROW_POSITIONS
    encoding = Encoding.NARROW if narrow else Encoding.WIDE
    spaces = tuple(_space_plan(s, layout, choices, groups * width) for s in recurrence.spaces)

    live = sum(s.items for s in spaces) * (len(recurrence.equations) + 4)
    registers = _register_slots(choices, target, encoding, groups * width + live)
    if register_limit is not None:
        registers = min(registers, register_limit)
    slot_bytes = LANES * encoding.value * 4 * choices.warps  # one slot of every warp
    shared = (target.shared_bytes_per_block - memory.bytes) // slot_bytes
    if choices.shared_slots.value >= 0:
        shared = min(shared, choices.shared_slots.value)

    phases, taken = [], memory.bytes
    for laid_out, where in zip(layout.phases, memory.phases, strict=True):
        tiers = _split(laid_out.slots, registers, shared)
        registers, shared = registers - tiers[0], shared - tiers[1]
        phases.append(_phase_plan(laid_out, where, tiers, taken))
        taken += tiers[1] * slot_bytes
    plan = Plan(
        target=target.name,
        dtype=model.dtype,
        accumulate=model.accumulate,
        batch=batch,
        choices=choices,
        encoding=encoding,
        groups=groups,
        spaces=spaces,
        phases=tuple(phases),
        shared_bytes=taken,
    )
    verify(plan, layout, target)
    return plan


def _space_plan(space: Space, layout: Layout, choices: Choices, columns: int) -> SpacePlan:
    units = layout.partition.spaces[space.name].units_per_block
    return SpacePlan(space.name, space.size, units, -(-units * columns // choices.threads.value))


def _phase_plan(
    laid_out: PhaseLayout, memory: PhaseMemory, tiers: tuple[int, int, int], slots_at_bytes: int
) -> PhasePlan:
    return PhasePlan(
        index=laid_out.index,
        columns=laid_out.columns,
        positions=memory.positions,
        chunk_bytes=memory.chunk_bytes,
        rows=len(laid_out.slots_of_rank),
        row_groups=_row_groups(laid_out.slots_of_rank, tiers),
        register_slots=tiers[0],
        shared_slots=tiers[1],
        streamed_slots=tiers[2],
        operand_at_bytes=memory.operand_at_bytes,
        totals_at_bytes=memory.totals_at_bytes,
        slots_at_bytes=slots_at_bytes,
        nonzeros=laid_out.nonzeros,
    )


def _register_slots(choices: Choices, target: Target, encoding: Encoding, live: int) -> int:
    per_thread = min(target.max_registers_per_thread, target.registers_per_sm // choices.threads.value)
    free = max(0, per_thread - _BASE_REGISTERS - live) // encoding.value
    wanted = choices.register_slots.value
    return free if wanted < 0 else wanted


def _split(slots: int, registers: int, shared: int) -> tuple[int, int, int]:
    """Slots in registers, in shared memory, and streamed from global memory."""
    in_registers = min(slots, registers)
    in_shared = min(slots - in_registers, shared)
    return in_registers, in_shared, slots - in_registers - in_shared


def _row_groups(slots_of_rank: Sequence[int], tiers: tuple[int, int, int]) -> tuple[RowGroup, ...]:
    """Rows in rank order, cut where a tier ends, equal neighbours merged."""
    groups: list[RowGroup] = []
    bounds = (
        (Tier.REGISTER, 0, tiers[0]),
        (Tier.SHARED, tiers[0], tiers[0] + tiers[1]),
        (Tier.STREAMED, tiers[0] + tiers[1], sum(tiers)),
    )
    start = 0
    for rank, slots in enumerate(slots_of_rank):
        segments = []
        for tier, low, high in bounds:
            first, last = max(start, low), min(start + slots, high)
            if first < last:
                segments.append(Segment(tier, first - low, last - first))
        start += slots
        group = RowGroup(rank, 1, tuple(segments))
        if groups and _continues(groups[-1], group):
            previous = groups.pop()
            group = RowGroup(previous.first_rank, previous.rows + 1, previous.segments)
        groups.append(group)
    return tuple(groups)


def _continues(group: RowGroup, row: RowGroup) -> bool:
    if len(group.segments) != len(row.segments) or len(row.segments) > 1:
        return False
    return all(
        a.tier is b.tier and a.slots == b.slots for a, b in zip(group.segments, row.segments, strict=True)
    )


def verify(plan: Plan, layout: Layout, target: Target) -> None:
    """Contract: row groups cover the layout's slots exactly, and shared memory holds the plan."""
    if plan.shared_bytes > target.shared_bytes_per_block:
        raise InternalError("schedule", "the plan exceeds shared memory")
    for p, laid_out in zip(plan.phases, layout.phases, strict=True):
        covered = [g.slots for g in p.row_groups for _ in range(g.rows)]
        if tuple(covered) != laid_out.slots_of_rank:
            raise InternalError("schedule", f"phase {p.index}: row groups do not cover the layout")


def print_plan(plan: Plan) -> str:
    """Every decision with its reason, then the loops of every phase."""
    lines = [
        f"plan for {plan.target}: {plan.dtype.value}, batch {plan.batch} as "
        f"{plan.groups} x {plan.width} columns, {plan.shared_bytes} bytes of shared memory"
    ]
    lines += [f"  {line}" for line in print_choices(plan.choices).splitlines()]
    for s in plan.spaces:
        lines.append(f"  space {s.name}: {s.units_per_block} units a block, {s.items} items a thread")
    for p in plan.phases:
        lines.append(
            f"  phase {p.index}: {plan.exchange_bytes(p)} bytes exchanged in {p.chunk_bytes}-byte "
            f"chunks; slots a warp: {p.register_slots} register, {p.shared_slots} shared, "
            f"{p.streamed_slots} streamed"
        )
        for g in p.row_groups:
            parts = ", ".join(f"{s.slots} {s.tier.value} from {s.first}" for s in g.segments) or "no slots"
            lines.append(f"    ranks {g.first_rank} to {g.first_rank + g.rows - 1}: {parts}")
    return "\n".join(lines) + "\n"
