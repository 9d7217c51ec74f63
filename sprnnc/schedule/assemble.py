"""Pass 6, Layout + Choices -> Plan: tiers, loops and shared memory, or why it does not fit."""

from __future__ import annotations

from collections.abc import Sequence

from sprnnc.cell.ir import DType, Model
from sprnnc.diagnostics import CompileError, InternalError, fail
from sprnnc.layout.layout import LANES, Layout
from sprnnc.passes.recurrence import Recurrence
from sprnnc.schedule.choices import Choices, Encoding, Tier
from sprnnc.schedule.plan import PhasePlan, Plan, RowGroup, Segment, SpacePlan
from sprnnc.target import Target

_NARROW_POSITIONS = 1 << 16
# Registers that the kernel needs besides slots: addresses, counters, a row's pointers (measured on
# the examples); a plan that spills all the same comes back with a smaller budget.
_BASE_REGISTERS = 56
_ALIGN = 16


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

    Raises CompileError E410 when the operands do not fit into shared memory.
    """
    width = choices.column_width.value
    groups = -(-batch // width)
    widest = max((p.columns for p in layout.phases), default=0)
    narrow = model.dtype is not DType.FP32 and widest < _NARROW_POSITIONS
    encoding = Encoding.NARROW if narrow else Encoding.WIDE
    spaces = tuple(
        SpacePlan(
            s.name,
            s.size,
            units := layout.partition.spaces[s.name].units_per_block,
            -(-units * groups * width // choices.threads.value),
        )
        for s in recurrence.spaces
    )
    memory = _SharedMemory()
    row_bytes = width * model.dtype.size_bytes
    operands, totals = [], []
    for p in layout.phases:
        chunk = _chunk_bytes(p.columns * row_bytes)
        positions = _padded_positions(p.columns, row_bytes, chunk)
        operands.append((chunk, positions, memory.take(groups * positions * row_bytes)))
        totals.append(memory.take(len(p.slots_of_rank) * choices.warps * groups * width * 4))
    left = target.shared_bytes_per_block - memory.bytes
    if left < 0:
        raise _does_not_fit(model, layout, batch, groups, row_bytes, memory.bytes, target)

    live = sum(s.items for s in spaces) * (len(recurrence.equations) + 4)
    registers = _register_slots(choices, target, encoding, groups * width + live)
    if register_limit is not None:
        registers = min(registers, register_limit)
    warp_slot_bytes = LANES * encoding.value * 4
    shared = left // (warp_slot_bytes * choices.warps)
    if choices.shared_slots.value >= 0:
        shared = min(shared, choices.shared_slots.value)

    phases = []
    for p, (chunk, positions, operand_at), totals_at in zip(layout.phases, operands, totals, strict=True):
        tiers = _split(p.slots, registers, shared)
        registers, shared = registers - tiers[0], shared - tiers[1]
        slots_at = memory.take(tiers[1] * warp_slot_bytes * choices.warps)
        groups_of_rows = _row_groups(p.slots_of_rank, tiers)
        phases.append(
            PhasePlan(
                p.index,
                p.columns,
                positions,
                chunk,
                len(p.slots_of_rank),
                groups_of_rows,
                *tiers,
                operand_at,
                totals_at,
                slots_at,
                p.nonzeros,
            )
        )
    plan = Plan(
        target.name,
        model.dtype,
        model.accumulate,
        batch,
        choices,
        encoding,
        groups,
        spaces,
        tuple(phases),
        memory.bytes,
        (),
    )
    verify(plan, layout, target)
    return plan


class _SharedMemory:
    """Hands out the block's shared memory from the bottom, 16-byte aligned."""

    def __init__(self) -> None:
        self.bytes = 0

    def take(self, size: int) -> int:
        at = self.bytes
        self.bytes += -(-size // _ALIGN) * _ALIGN
        return at


def _chunk_bytes(group_bytes: int) -> int:
    """The widest access that divides a group's bytes."""
    return next(c for c in (16, 8, 4) if group_bytes % c == 0)


def _padded_positions(columns: int, row_bytes: int, chunk: int) -> int:
    """Columns, a null position, and as many more as keep the next group aligned for chunks."""
    positions = columns + 1
    while positions * row_bytes % max(chunk, row_bytes):
        positions += 1
    return positions


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


def _does_not_fit(
    model: Model, layout: Layout, batch: int, groups: int, row_bytes: int, needed: int, target: Target
) -> CompileError:
    per_group = needed / groups
    fitting_groups = int(target.shared_bytes_per_block // per_group)
    fitting_batch = min(batch - 1, fitting_groups * (row_bytes // model.dtype.size_bytes))
    size = max(p.columns for p in layout.phases)
    fitting_size = int(size * target.shared_bytes_per_block / needed)
    hints = [f"batch {fitting_batch}"] if fitting_batch else []
    hints.append(f"an exchanged vector of about {fitting_size} values")
    if model.dtype is DType.FP32:
        hints.append("dtype fp16 or bf16, which halves it")
    return fail(
        "E410",
        f"batch {batch} of {size} exchanged values needs {needed} bytes of shared memory a block; "
        f"{target.name} has {target.shared_bytes_per_block}",
        help="this would fit: " + ", or ".join(hints),
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
    for name in plan.choices.__slots__:
        choice = getattr(plan.choices, name)
        value = getattr(choice.value, "value", choice.value)
        lines.append(f"  {name} = {value}{' (user)' if choice.by_user else ''}: {choice.reason}")
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
