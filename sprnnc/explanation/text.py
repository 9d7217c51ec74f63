"""What an artifact is and what its step costs, as text."""

from __future__ import annotations

import math

from sprnnc.artifact import Artifact
from sprnnc.cell.ir import DType
from sprnnc.explanation.facts import Facts, PhaseFacts
from sprnnc.explanation.orders import OrderCost, mean_used
from sprnnc.measurement import Measurement
from sprnnc.passes.recurrence import Phase, Recurrence
from sprnnc.recursion import room_for_deep_expressions
from sprnnc.schedule.choices import Exchange, print_choices
from sprnnc.schedule.plan import PhasePlan, Plan
from sprnnc.target import Target

_HALF_ROUNDING = 2.0**-11  # the largest relative error of rounding to fp16
_RMS_ROUNDING = 0.43  # its root mean square over values of all sizes, in parts of the largest


@room_for_deep_expressions()
def explain_facts(facts: Facts) -> str:
    """Sizes, density, decisions with reasons, predicted time, resources, bank conflicts, bytes a step."""
    artifact, recurrence = facts.artifact, facts.recurrence
    plan = artifact.plan
    lines = [
        *heading(artifact, facts.target),
        "",
        "weights",
        *_weights(artifact),
        "",
        "decisions",
        *_indented(print_choices(plan.choices)),
    ]
    lines += ["", "predicted microseconds a step", *_prediction(facts)]
    lines += ["", "resources", *_resources(artifact, facts.target)]
    for phase in plan.phases:
        lines += ["", *_phase(plan, recurrence, phase, facts.phases.get(phase.index))]
    if plan.accumulate is DType.FP16:
        lines += ["", "accumulation", f"  {chain_error(plan.choices.chain.value)}"]
    lines += ["", "bytes a step", *_bytes(plan, recurrence)]
    return "\n".join(lines) + "\n"


def heading(artifact: Artifact, target: Target) -> list[str]:
    """Two lines: the cell and its sizes, the device and its numbers."""
    plan, cell = artifact.plan, artifact.model.cell
    spaces = {s.name: s.size for w in cell.weights for s in (w.rows, w.cols)}
    spaces |= {v.space.name: v.space.size for v in (*cell.inputs, *cell.states, *cell.params)}
    sizes = ", ".join(f"{name} = {size}" for name, size in spaces.items())
    return [
        f"{artifact.model.name}: {cell.name} with {sizes}",
        f"target {target.name} ({target.description}), {plan.dtype.value} storage, "
        f"{plan.accumulate.value} accumulation, batch {plan.batch}",
    ]


def _weights(artifact: Artifact) -> list[str]:
    lines = []
    for w in artifact.model.cell.weights:
        tensor = artifact.tensors[w.name]
        nonzeros = int((tensor != 0).sum())
        lines.append(
            f"  {w.name:<8} {w.rows.size:>5} x {w.cols.size:<5} {nonzeros:>9} non-zeros "
            f"({nonzeros / tensor.size:7.2%})  {w.pattern.describe()}"
        )
    return lines


def _indented(text: str) -> list[str]:
    return [f"  {line}" for line in text.splitlines()]


def _prediction(facts: Facts) -> list[str]:
    """Parts that add up, what bounds them, and what was measured."""
    p = facts.prediction
    if p is None:
        name = facts.target.name
        lines = [f"  unknown           nothing was measured on {name} from which to predict"]
    else:
        lines = [f"  {name:<17} {value:.3f}" for name, value in p.parts]
        if p.bounds:
            bounds = ", ".join(dict.fromkeys(b.value for b in p.bounds))
            lines[1] += f"  bound by {bounds}"
        if p.meanwhile:
            lines.append(
                f"  meanwhile         {p.meanwhile:.3f}  products of the inputs, within the exchange"
            )
        lines += [
            f"  total             {p.total:.3f}",
            f"  floor             {p.floor:.3f}  {floor_of(facts)}",
        ]
    return [*lines, f"  measured          {measured(facts)}"]


def floor_of(facts: Facts) -> str:
    """What the floor is the time of."""
    if facts.artifact.plan.choices.devices.value > 1:
        return "the exchange and the link alone"
    if facts.artifact.plan.choices.exchange.value is Exchange.BARRIER:
        return "a Lamport exchange alone; a barrier takes longer"
    return "the exchange alone"


def measured(facts: Facts) -> str:
    """What was measured, against the prediction, or how to."""
    m, p = facts.measurement, facts.prediction
    against = f", {m.median_us / p.total:.2f} times the prediction" if m and p else ""
    return measured_line(m) + against


def measured_line(m: Measurement | None) -> str:
    """What was measured, or how to."""
    if m is None:
        return "not yet: sprnnc bench ARTIFACT --save"
    return f"{m.median_us:.3f}  ({m.low_us:.3f} to {m.high_us:.3f}) on {m.device}, {m.steps} steps"


def _resources(artifact: Artifact, target: Target) -> list[str]:
    plan = artifact.plan
    limit = target.shared_bytes_per_block
    lines = [f"  shared memory     {plan.shared_bytes} of {limit} bytes a block"]
    for name, used in artifact.manifest.resources.items():
        lines.append(f"  {name}: {used.registers} registers a thread, {used.spill_bytes} bytes spilled")
    if not artifact.manifest.resources:
        lines.append("  registers         unknown: nothing was built for a GPU")
    return lines


def _phase(plan: Plan, recurrence: Recurrence, phase: PhasePlan, facts: PhaseFacts | None) -> list[str]:
    model = recurrence.phases[phase.index - 1]
    lines = [f"phase {phase.index}: {phase_title(model)}"]
    lanes = dict.fromkeys(plan.space(p.rows.name).lanes_per_row for p in model.products)
    lines.append(
        f"  rows              {' or '.join(map(str, lanes))} lanes each, {phase.gather_warps} gathering "
        f"warps, {phase.ranks} bundles a warp"
    )
    lines.append(
        f"  slots a lane      {phase.slots}: {phase.register_slots} in registers, "
        f"{phase.shared_slots} in shared memory, {phase.streamed_slots} streamed"
    )
    if facts and facts.form.tile.values > 1:
        lines.append(f"  indices           {held(facts)}")
    if facts:
        cost = facts.cost
        lines += [
            f"  padding           {cost.padding:.1%} of the slots hold no non-zero",
            f"  bank conflicts    {cost.conflicts_per_load:.2f} extra wavefronts a load "
            f"({cost.wavefronts} wavefronts for {cost.loads} loads, {cost.ideal_wavefronts} if none)",
        ]
        lines += _orders(plan, facts)
    return lines


def held(facts: PhaseFacts) -> str:
    """What a slot with a tile holds, and what its one index saves, or its zeros cost."""
    form, saved = facts.form, facts.bytes_saved
    return (
        f"one for {form.tile} values, {4 * form.words} bytes a slot: all take {abs(saved)} bytes "
        f"{'less' if saved >= 0 else 'more'} than with {4 * facts.by_value.words} bytes for every non-zero"
    )


def phase_title(phase: Phase) -> str:
    """Its products, and when they are gathered where that is not after an exchange."""
    products = ", ".join(f"{p.weight} @ {p.operand}" for p in phase.products)
    return f"{products}, while a block waits for phase 1" if phase.joined else products


def own_order(plan: Plan, facts: PhaseFacts) -> OrderCost:
    """The artifact's own order, as the others are described."""
    slots = facts.position.shape[2]
    return OrderCost(plan.choices.bank_order.value, slots, mean_used(facts.used), facts.cost)


def _orders(plan: Plan, facts: PhaseFacts) -> list[str]:
    """A table of bank orders, this layout's own first; nothing where no other was laid out."""
    if not facts.orders:
        return []
    own = own_order(plan, facts)
    lines = ["  bank order        slots   used  padding  extra wavefronts a load  wavefronts, of slots used"]
    for o in (own, *facts.orders):
        name = f"{o.order.value}{' (this)' if o is own else ''}"
        cost = o.cost
        lines.append(
            f"    {name:<15} {o.slots:>5}  {o.used:>5.1f}  {cost.padding:>7.1%}  "
            f"{cost.conflicts_per_load:>23.2f}  {o.wavefronts:>10}"
        )
    return lines


def chain_error(additions: int) -> str:
    """How wrong a pair of fp16 chains can be, above fp16's subnormals, and how wrong it is on average.

    The k-th of n partial sums of a chain is about sqrt(k) terms of random sign and is rounded, and so is the
    sum of both chains: together that is sqrt((n + 3) / 2) roundings of that sum.
    """
    bound = (additions + 1) * _HALF_ROUNDING
    expected = math.sqrt((additions + 3) / 2) * _RMS_ROUNDING * _HALF_ROUNDING
    return (
        f"pairs of fp16 chains of {additions}: an error of at most {bound:.1e} of the sum of their products' "
        f"magnitudes; {expected:.1e} of a pair's sum expected (RMS)"
    )


def _bytes(plan: Plan, recurrence: Recurrence) -> list[str]:
    exchanged, choices = sum(plan.exchange_bytes(p) for p in plan.exchanges), plan.choices
    streamed = sum(p.streamed_words * p.gather_warps for p in plan.phases) * 32 * 4
    rows = sum(p.row_count for p in recurrence.input_products)
    sent = exchanged * (choices.devices.value - 1)
    inputs = (
        [f"  inputs            {plan.exchange_bytes(plan.joined)} read by each block"] if plan.joined else []
    )
    return [
        f"  exchanged         {exchanged} (written once, read by each of {choices.all_blocks} blocks)",
        *([f"  over links        {sent} (each value to all other devices)"] if sent else []),
        f"  weights streamed  {streamed * choices.all_blocks}",
        *inputs,
        f"  input products    {rows * plan.batch * 4} read",
        f"  output            {recurrence.output_space.size * plan.batch * 4} written",
    ]
