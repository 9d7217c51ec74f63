"""The page about an artifact as a frozen model: every word and every shape; the template decides nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sprnnc.cell.ir import DType
from sprnnc.explanation.charts import Chart, Key, Shape, heat_cells, rectangle, stacked_bar, stacked_columns
from sprnnc.explanation.counts import nonzeros_by_warp, reads_by_bank, slots_by_warp
from sprnnc.explanation.facts import Facts, PhaseFacts
from sprnnc.explanation.text import chain_error, floor_of, heading, held, measured, own_order, phase_title
from sprnnc.schedule.memory import null_positions
from sprnnc.schedule.plan import PhasePlan, Plan
from sprnnc.version import VERSION

_BAR_PIXELS = 40
_COLUMN_PIXELS = 160


@dataclass(frozen=True, slots=True)
class Fact:
    """A number that stands out, and what it is."""

    value: str
    name: str


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of words under ``head``; ``numbers``: which columns are set right."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Decision:
    """One choice of the compiler, or of its user, and why."""

    name: str
    value: str
    by_user: bool
    reason: str


@dataclass(frozen=True, slots=True)
class PhaseSection:
    """One exchange and what is gathered after it; ``orders`` None where none were compared."""

    title: str
    note: str
    charts: tuple[Chart, ...]
    orders: Table | None


@dataclass(frozen=True, slots=True)
class Page:
    """Everything that the template prints."""

    title: str
    device: str
    facts: tuple[Fact, ...]
    time: Chart | None
    time_notes: tuple[str, ...]
    weights: Table
    decisions: tuple[Decision, ...]
    phases: tuple[PhaseSection, ...]
    footer: str


def make_page(facts: Facts) -> Page:
    """The page of an artifact."""
    plan = facts.artifact.plan
    title, device = heading(facts.artifact, facts.target)
    phases = zip(plan.phases, facts.recurrence.phases, strict=True)
    return Page(
        title=title,
        device=device,
        facts=_facts(facts),
        time=_time_line(facts),
        time_notes=_time_notes(facts),
        weights=_weights(facts),
        decisions=tuple(Decision(n, c.text, c.by_user, c.reason) for n, c in plan.choices.items()),
        phases=tuple(_phase(plan, p, phase_title(model), facts) for p, model in phases),
        footer=f"sprnnc {VERSION}",
    )


def _facts(facts: Facts) -> tuple[Fact, ...]:
    plan, p, m = facts.artifact.plan, facts.prediction, facts.measurement
    tensors = [facts.artifact.tensors[w.name] for w in facts.artifact.model.cell.weights]
    nonzeros = sum(int(np.count_nonzero(t)) for t in tensors)
    share = nonzeros / max(1, sum(t.size for t in tensors))
    found = [Fact(f"{nonzeros:,}", f"non-zeros, {share:.1%} of all weights")]
    if p:
        found.append(Fact(f"{p.total:.2f} µs", "predicted a step"))
        floor = "exchange and link alone" if p.link else "the exchange alone"
        found.append(Fact(f"{p.floor:.2f} µs", f"floor: {floor}"))
    if m:
        found.append(Fact(f"{m.median_us:.2f} µs", f"measured a step on {m.device}"))
    choices = plan.choices
    counts = {"devices": choices.devices, "blocks": choices.blocks, "threads": choices.threads}
    told = {what: str(c.value) for what, c in counts.items() if what != "devices" or c.value > 1}
    found.append(Fact(" × ".join(told.values()), " × ".join(told)))
    limit = facts.target.shared_bytes_per_block
    found.append(
        Fact(f"{plan.shared_bytes / 1024:.1f} KiB", f"of {limit / 1024:.0f} KiB shared memory a block")
    )
    for name, used in facts.artifact.manifest.resources.items():
        if name == "recurrence":
            found.append(Fact(str(used.registers), "registers a thread"))
    return tuple(found)


def _time_line(facts: Facts) -> Chart | None:
    p, m = facts.prediction, facts.measurement
    if p is None:
        return None
    end = max(p.total, m.median_us if m else 0.0)
    width = end * 1.02
    shapes = list(stacked_bar(p.parts, 1))
    legend = [Key(name, f"{name} {value:.3f}") for name, value in p.parts]
    marks = [("floor", p.floor, f"floor {p.floor:.3f}")]
    if m:
        marks.append(("measured", m.median_us, f"measured {m.median_us:.3f}"))
    for style, at, words in marks:
        shapes.append(Shape(rectangle(at - end / 400, 0, end / 200, 1), style))
        legend.append(Key(style, words))
    return Chart(
        title="Microseconds of one step, predicted",
        spoken=", ".join(k.text for k in legend),
        width=width,
        height=1,
        pixels=_BAR_PIXELS,
        shapes=tuple(shapes),
        legend=tuple(legend),
        ticks=("0", f"{width:.2f} µs"),
    )


def _time_notes(facts: Facts) -> tuple[str, ...]:
    p = facts.prediction
    if p is None:
        lines = [f"No time is predicted: nothing was measured on {facts.target.name} from which to."]
    else:
        lines = [f"Predicted {p.total:.3f} µs in all; the floor of {p.floor:.3f} µs is {floor_of(facts)}."]
        if p.bounds:
            bounds = ", ".join(dict.fromkeys(b.value for b in p.bounds))
            lines.append(f"What decides the gather: {bounds}.")
    lines.append(f"Measured: {measured(facts)}.")
    if facts.artifact.plan.accumulate is DType.FP16:
        lines.append(f"Sums: {chain_error(facts.artifact.plan.choices.chain.value)}.")
    return tuple(lines)


def _weights(facts: Facts) -> Table:
    rows = []
    for w in facts.artifact.model.cell.weights:
        tensor = facts.artifact.tensors[w.name]
        nonzeros = int(np.count_nonzero(tensor))
        size = f"{w.rows.size} × {w.cols.size}"
        rows.append((w.name, size, f"{nonzeros:,}", f"{nonzeros / tensor.size:.2%}", w.pattern.describe()))
    head = ("matrix", "size", "non-zeros", "density", "pattern")
    return Table(head, tuple(rows), (False, True, True, True, False))


def _phase(plan: Plan, phase: PhasePlan, products: str, facts: Facts) -> PhaseSection:
    title = f"Phase {phase.index}: {products}"
    found = facts.phases.get(phase.index)
    if found is None:
        return PhaseSection(title, "There are no non-zeros to gather.", (), None)
    cost = found.cost
    note = (
        f"{phase.gather_warps} gathering warps of {phase.slots} slots a lane; {cost.padding:.1%} of the "
        f"slots are padding; {cost.conflicts_per_load:.2f} extra wavefronts a load by bank conflicts."
    )
    if found.form.tile.values > 1:
        note += f" Indices: {held(found)}."
    charts = (_tiers(phase), _heat(found), _slots(found), _banks(found, plan))
    return PhaseSection(title, note, charts, _orders(plan, found))


def _tiers(phase: PhasePlan) -> Chart:
    parts = (
        ("register", phase.register_slots, "in registers"),
        ("shared", phase.shared_slots, "in shared memory"),
        ("streamed", phase.streamed_slots, "streamed from global memory"),
    )
    legend = tuple(Key(style, f"{slots} {where}") for style, slots, where in parts)
    return Chart(
        title="Where a lane's slots live",
        spoken=", ".join(k.text for k in legend),
        width=phase.slots,
        height=1,
        pixels=_BAR_PIXELS // 2,
        shapes=stacked_bar(((style, slots) for style, slots, _ in parts), 1),
        legend=legend,
    )


def _heat(phase: PhaseFacts) -> Chart:
    counts = nonzeros_by_warp(phase)
    blocks, warps = counts.shape
    mean, most = counts.sum(axis=1).mean(), counts.sum(axis=1).max()
    spoken = (
        f"the busiest block has {most / mean - 1:.1%} more than the mean of {mean:.0f}" if mean else "none"
    )
    return Chart(
        title="Non-zeros by block (across) and warp (down)",
        spoken=spoken,
        width=blocks,
        height=warps,
        pixels=min(240, max(48, 14 * warps)),
        shapes=heat_cells(counts.T.astype(np.float64)),
        legend=(Key("heat1", "few"), Key("heat8", f"{counts.max()} in a warp"), Key("", spoken)),
        top="warp 0",
        bottom=f"warp {warps - 1}",
        ticks=("block 0", f"block {blocks - 1}"),
    )


def _slots(phase: PhaseFacts) -> Chart:
    slots = slots_by_warp(phase)
    layers = (
        ("filled", slots.filled),
        ("padding", slots.used - slots.filled),
        ("unused", slots.kept - slots.used),
    )
    words = (
        f"hold a non-zero ({slots.filled.mean():.1f})",
        f"padding that runs ({(slots.used - slots.filled).mean():.1f})",
        f"padding that is skipped ({(slots.kept - slots.used).mean():.1f})",
    )
    warps = len(slots.used)
    return Chart(
        title="Slots of a lane by warp, mean over blocks",
        spoken=", ".join(words),
        width=warps,
        height=slots.kept,
        pixels=_COLUMN_PIXELS,
        shapes=stacked_columns(layers, slots.kept),
        legend=tuple(Key(style, w) for (style, _), w in zip(layers, words, strict=True)),
        top=f"{slots.kept}",
        bottom="0",
        ticks=("warp 0", f"warp {warps - 1}"),
    )


def _banks(phase: PhaseFacts, plan: Plan) -> Chart:
    together = null_positions(plan.load_bytes)
    reads = reads_by_bank(phase, together)
    first = int(np.flatnonzero(reads)[0])
    shown = reads[first:].astype(np.float64)
    mean = float((reads * np.arange(len(reads))).sum() / reads.sum())
    words = f"mean {mean:.1f}, from {first} to {len(reads) - 1}: the busiest bank sets the slots of its group"
    return Chart(
        title=f"How often a group of {together} lanes that load together reads each bank",
        spoken=words,
        width=len(shown),
        height=float(shown.max()),
        pixels=_COLUMN_PIXELS * 3 // 4,
        shapes=stacked_columns((("reads", shown),), float(shown.max())),
        legend=(Key("reads", words),),
        top=f"{int(shown.max()):,} banks",
        bottom="0",
        ticks=tuple(dict.fromkeys((f"{first} reads", f"{len(reads) - 1} reads"))),
    )


def _orders(plan: Plan, phase: PhaseFacts) -> Table | None:
    if not phase.orders:
        return None
    own = own_order(plan, phase)
    rows = tuple(
        (
            o.order.value + (" (this)" if o is own else ""),
            str(o.slots),
            f"{o.used:.1f}",
            f"{o.cost.padding:.1%}",
            f"{o.cost.conflicts_per_load:.2f}",
            f"{o.wavefronts:,}",
        )
        for o in (own, *phase.orders)
    )
    head = ("bank order", "slots", "used", "padding", "extra wavefronts a load", "wavefronts, of slots used")
    return Table(head, rows, (False, True, True, True, True, True))
