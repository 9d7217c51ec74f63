"""What an artifact is and what its step costs, as text."""

from __future__ import annotations

from sprnnc.artifact import Artifact
from sprnnc.passes.phases import split_into_phases
from sprnnc.passes.recurrence import Recurrence
from sprnnc.recursion import room_for_deep_expressions
from sprnnc.schedule.banks import gather_cost
from sprnnc.schedule.choices import print_choices
from sprnnc.schedule.plan import PhasePlan, Plan
from sprnnc.schedule.slot_words import unpack_slots
from sprnnc.target import find_target


@room_for_deep_expressions()
def explain(artifact: Artifact) -> str:
    """Sizes, density, decisions with reasons, registers, shared memory, bank conflicts, bytes a step."""
    plan = artifact.plan
    recurrence = split_into_phases(artifact.model.cell)
    lines = [
        *_heading(artifact),
        "",
        "weights",
        *_weights(artifact),
        "",
        "decisions",
        *_indented(print_choices(plan.choices)),
    ]
    lines += ["", "resources", *_resources(artifact)]
    for phase in plan.phases:
        lines += ["", *_phase(artifact, recurrence, phase)]
    lines += ["", "bytes a step", *_bytes(plan, recurrence)]
    return "\n".join(lines) + "\n"


def _heading(artifact: Artifact) -> list[str]:
    plan, cell = artifact.plan, artifact.model.cell
    target = find_target(plan.target)
    spaces = {s.name: s.size for w in cell.weights for s in (w.rows, w.cols)}
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


def _resources(artifact: Artifact) -> list[str]:
    plan = artifact.plan
    limit = find_target(plan.target).shared_bytes_per_block
    lines = [f"  shared memory     {plan.shared_bytes} of {limit} bytes a block"]
    for name, used in artifact.manifest.resources.items():
        lines.append(f"  {name}: {used.registers} registers a thread, {used.spill_bytes} bytes spilled")
    if not artifact.manifest.resources:
        lines.append("  registers         unknown: nothing was built for a GPU")
    return lines


def _phase(artifact: Artifact, recurrence: Recurrence, phase: PhasePlan) -> list[str]:
    plan = artifact.plan
    model = recurrence.phases[phase.index - 1]
    products = ", ".join(f"{p.weight} @ {p.operand}" for p in model.products)
    lines = [f"phase {phase.index}: {products}"]
    lanes = dict.fromkeys(plan.space(p.rows.name).lanes_per_row for p in model.products)
    lines.append(
        f"  rows              {' or '.join(map(str, lanes))} lanes each, {phase.gather_warps} gathering "
        f"warps, {phase.ranks} bundles a warp"
    )
    lines.append(
        f"  slots a lane      {phase.slots}: {phase.register_slots} in registers, "
        f"{phase.shared_slots} in shared memory, {phase.streamed_slots} streamed"
    )
    if phase.slots:
        words = artifact.packed[f"slots_{phase.index}"]
        _, position = unpack_slots(words, phase, plan.dtype, plan.encoding)
        cost = gather_cost(plan, position, phase.columns)
        lines += [
            f"  padding           {cost.padding:.1%} of the slots hold no non-zero",
            f"  bank conflicts    {cost.conflicts_per_load:.2f} extra wavefronts a load "
            f"({cost.wavefronts} wavefronts for {cost.loads} loads, {cost.ideal_wavefronts} if none)",
        ]
    return lines


def _bytes(plan: Plan, recurrence: Recurrence) -> list[str]:
    exchanged = sum(plan.exchange_bytes(p) for p in plan.phases)
    slot_bytes = 32 * plan.encoding.value * 4
    streamed = sum(p.streamed_slots * p.gather_warps for p in plan.phases) * slot_bytes
    rows = sum(p.row_count for p in recurrence.input_products)
    return [
        f"  exchanged         {exchanged} (written once, read by each of {plan.choices.blocks.value} blocks)",
        f"  weights streamed  {streamed * plan.choices.blocks.value}",
        f"  input products    {rows * plan.batch * 4} read",
        f"  output            {recurrence.output_space.size * plan.batch * 4} written",
    ]
