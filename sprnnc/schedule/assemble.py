"""Pass 6, Layout + Choices -> Plan: tiers, loops and shared memory, or why it does not fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sprnnc.cell.ir import Model, Space
from sprnnc.diagnostics import InternalError
from sprnnc.layout.layout import Layout, PhaseLayout, Rank
from sprnnc.layout.options import LANES
from sprnnc.passes.recurrence import Recurrence
from sprnnc.schedule.choices import Choice, Choices, Tier, Unpack, print_choices
from sprnnc.schedule.idle_warps import without_idle_warps
from sprnnc.schedule.memory import PhaseMemory, column_groups, fixed_memory
from sprnnc.schedule.plan import PhasePlan, Plan, RowGroup, Segment, SpacePlan
from sprnnc.schedule.registers import decide_unpack, position_step, register_slots, slot_format
from sprnnc.schedule.relief import FEW_LOADS, Relief
from sprnnc.schedule.slot_format import SlotFormat
from sprnnc.schedule.tiers import Tiers, fewest_slots, split_tiers
from sprnnc.target import Target


def assemble(
    model: Model,
    recurrence: Recurrence,
    layout: Layout,
    choices: Choices,
    batch: int,
    target: Target,
    relief: Relief | None = None,
) -> Plan:
    """The Plan. ``relief``: what it gives up after builds that spilled; a user's choices stay.

    Raises CompileError E410 when the operands do not fit into shared memory (see ``fixed_memory``).
    """
    groups = column_groups(batch, choices)
    row_bytes = choices.column_width.value * model.dtype.size_bytes
    choices = without_idle_warps(choices, layout, groups * row_bytes)
    memory = fixed_memory(model, recurrence, choices, batch, target)
    form = slot_format(model, recurrence, layout.options.tile)
    spaces = tuple(_space_plan(s, layout, groups) for s in recurrence.spaces)

    registers = register_slots(model, recurrence, choices, batch, target, form.tile)
    unpack = decide_unpack(choices, sum(p.slots for p in layout.phases), registers)
    loads = choices.in_flight.value
    if relief:
        registers = registers if relief.slots is None else min(registers, relief.slots)
        if relief.each_step and not choices.unpack.by_user:
            unpack = Unpack.EACH_STEP
        if relief.few_loads and not choices.in_flight.by_user:
            loads = 1 if relief.one_by_one else min(loads, FEW_LOADS)
        if relief.one_by_one and not choices.unroll.by_user:
            choices = replace(choices, unroll=Choice(1, "more loads at once would take too many registers"))
    phases, taken = [], memory.bytes
    for phase, laid_out, where in zip(recurrence.phases, layout.phases, memory.phases, strict=True):
        word_bytes = LANES * 4 * laid_out.gather_warps  # one word of every lane
        shared = (target.shared_bytes_per_block - taken) // word_bytes
        if choices.shared_slots.value >= 0:
            shared = min(shared, choices.shared_slots.value * form.words)
        tiers = split_tiers(laid_out.ranks, registers, shared, form)
        registers -= tiers.slots[Tier.REGISTER]
        step = position_step(form.encoding, where.positions, row_bytes)
        phases.append(_phase_plan(laid_out, where, tiers, taken, step, form, phase.joined))
        taken += tiers.words[Tier.SHARED] * word_bytes
    plan = Plan(
        target=target.name,
        dtype=model.dtype,
        accumulate=model.accumulate,
        batch=batch,
        choices=choices,
        encoding=form.encoding,
        tile=form.tile,
        unpack=unpack,
        loads_in_flight=loads,
        pins_lane=not (relief and relief.few_loads),
        groups=groups,
        spaces=spaces,
        phases=tuple(phases),
        shared_bytes=taken,
        flag_at_bytes=memory.flag_at_bytes,
    )
    verify(plan, layout, target)
    return plan


def _space_plan(space: Space, layout: Layout, groups: int) -> SpacePlan:
    placed = layout.placements[space.name]
    return SpacePlan(
        name=space.name,
        size=space.size,
        lanes_per_row=placed.lanes_per_row,
        rows=placed.rows,
        units_per_lane=placed.items,
        items=placed.items * groups,
        warps=max(placed.warps_of_item),
    )


def _phase_plan(
    laid_out: PhaseLayout,
    memory: PhaseMemory,
    tiers: Tiers,
    slots_at_bytes: int,
    step: int,
    form: SlotFormat,
    joined: bool,
) -> PhasePlan:
    return PhasePlan(
        index=laid_out.index,
        columns=laid_out.columns,
        positions=memory.positions,
        position_step=step,
        chunk_bytes=memory.chunk_bytes,
        couriers=memory.couriers,
        gather_warps=laid_out.gather_warps,
        row_groups=_row_groups(laid_out.ranks, fewest_slots(laid_out), tiers.segments, form),
        register_slots=tiers.slots[Tier.REGISTER],
        shared_slots=tiers.slots[Tier.SHARED],
        streamed_slots=tiers.slots[Tier.STREAMED],
        register_words=tiers.words[Tier.REGISTER],
        shared_words=tiers.words[Tier.SHARED],
        streamed_words=tiers.words[Tier.STREAMED],
        operand_at_bytes=memory.operand_at_bytes,
        arrivals_at_bytes=memory.arrivals_at_bytes,
        slots_at_bytes=slots_at_bytes,
        nonzeros=laid_out.nonzeros * form.tile.values,
        joined=joined,
    )


def _row_groups(
    ranks: Sequence[Rank],
    sure: Sequence[int],
    segments: Sequence[tuple[Segment, ...]],
    form: SlotFormat,
) -> tuple[RowGroup, ...]:
    """Ranks in order, equal neighbours merged."""
    groups: list[RowGroup] = []
    for rank, least, parts in zip(ranks, sure, segments, strict=True):
        group = RowGroup(rank.product, rank.item, 1, rank.warps, least, parts)
        if groups and _continues(groups[-1], group, form):
            previous = groups.pop()
            least = min(previous.sure, least)
            group = replace(previous, items=previous.items + 1, sure=least)
        groups.append(group)
    return tuple(groups)


def _continues(group: RowGroup, row: RowGroup, form: SlotFormat) -> bool:
    if (group.product, group.warps) != (row.product, row.warps) or len(row.segments) > 1:
        return False
    shapes = [[(s.tier, s.slots) for s in g.segments] for g in (group, row)]
    follows = all(
        b.first == a.first + group.items * form.tier_words(a.tier, a.slots)
        for a, b in zip(group.segments, row.segments, strict=False)
    )
    return shapes[0] == shapes[1] and follows


def verify(plan: Plan, layout: Layout, target: Target) -> None:
    """Contract: row groups cover the layout's slots exactly, and shared memory holds the plan."""
    if plan.shared_bytes > target.shared_bytes_per_block:
        raise InternalError("schedule", "the plan exceeds shared memory")
    for p, laid_out in zip(plan.phases, layout.phases, strict=True):
        covered = [g.slots for g in p.row_groups for _ in range(g.items)]
        if covered != [r.slots for r in laid_out.ranks]:
            raise InternalError("schedule", f"phase {p.index}: row groups do not cover the layout")


def print_plan(plan: Plan) -> str:
    """Every decision with its reason, then the loops of every phase."""
    lines = [
        f"plan for {plan.target}: {plan.dtype.value}, batch {plan.batch} as "
        f"{plan.groups} x {plan.width} columns, {plan.shared_bytes} bytes of shared memory, "
        f"slots of {plan.tile} values in {plan.slot_format.words} words, unpacked {plan.unpack.value}, "
        f"{plan.loads_in_flight} loads in flight"
    ]
    lines += [f"  {line}" for line in print_choices(plan.choices).splitlines()]
    for s in plan.spaces:
        lines.append(
            f"  space {s.name}: {s.lanes_per_row} lanes a row, {s.places} units a bundle, "
            f"{s.units_per_lane} units a lane in {s.warps} warps"
        )
    for p in plan.phases:
        moved = "of inputs, while others publish," if p.joined else "exchanged"
        lines.append(
            f"  phase {p.index}: {plan.exchange_bytes(p)} bytes {moved} in {p.chunk_bytes}-byte "
            f"chunks, {p.couriers} couriers; {p.gather_warps} gathering warps; slots a lane: "
            f"{p.register_slots} register, {p.shared_slots} shared, {p.streamed_slots} streamed"
        )
        for g in p.row_groups:
            parts = (
                ", ".join(f"{s.slots} {s.tier.value} from word {s.first}" for s in g.segments) or "no slots"
            )
            lines.append(
                f"    product {g.product + 1}, items {g.first_item} to {g.first_item + g.items - 1} of "
                f"{g.warps} warps: {parts}; at least {g.sure} used"
            )
    return "\n".join(lines) + "\n"
