"""What a network is: how its layers are joined, then each layer as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sprnnc.explanation.facts import gather_facts
from sprnnc.explanation.text import explain_facts, measured_line
from sprnnc.measurement import Measurement
from sprnnc.network_artifact import NetworkArtifact
from sprnnc.recursion import room_for_deep_expressions
from sprnnc.schedule.network_parts import part_names
from sprnnc.schedule.network_plan import Call, Fork, Join, Step, flat, print_network_plan
from sprnnc.target import find_target


@room_for_deep_expressions()
def explain_network(artifact: NetworkArtifact, measurement: Measurement | None = None) -> str:
    """The plan of the whole with its predicted time, and every kernel with sizes, decisions and costs."""
    manifest, network = artifact.manifest, artifact.network
    target = find_target(manifest.target)
    facts = {name: gather_facts(part) for name, part in artifact.parts.items()}
    totals = {name: f.prediction.total for name, f in facts.items() if f.prediction is not None}
    lines = [
        f"{network.name}: {len(network.layers)} layers in {_kernels(len(artifact.parts))}, "
        f"{network.input.size} values in, {manifest.output_size} out",
        f"target {target.name} ({target.description}), {network.dtype.value} storage, "
        f"{network.accumulate.value} accumulation, batch {manifest.batch}",
        "",
        "plan",
        *(f"  {line}".rstrip() for line in print_network_plan(artifact.plan, network).splitlines()),
        "",
        "bytes a step between layers",
        f"  joined            {_joined_bytes(artifact)} read, and as many written",
        "",
        "predicted microseconds a step, products of inputs and joins aside",
    ]
    if len(totals) < len(facts):
        lines.append(f"  unknown           nothing was measured on {target.name} from which to predict")
    else:
        each = [(unit, totals[part]) for unit, part in part_names(network, artifact.plan.groups).items()]
        lines += [f"  {name:<17} {total:.3f}" for name, total in each]
        whole = sum(_longest(step, totals) for step in artifact.plan.steps)
        lines.append(f"  {'total':<17} {whole:.3f}")
    lines.append(f"  measured          {measured_line(measurement)}")
    for name, layer_facts in facts.items():
        lines += ["", *_layer(artifact, name), ""]
        lines += [f"  {line}".rstrip() for line in explain_facts(layer_facts).splitlines()]
    return "\n".join(lines) + "\n"


def _layer(artifact: NetworkArtifact, name: str) -> Iterator[str]:
    for group in artifact.plan.groups:
        if group.name == name:
            yield f"layers {', '.join(group.layers)} in one kernel"
            return
    sharing = [i.name for i in artifact.network.layers if i.weights == name and i.name != name]
    yield f"layer {name}" + (f", whose kernels and weights {', '.join(sharing)} share" if sharing else "")


def _longest(step: Step, totals: Mapping[str, float]) -> float:
    """Microseconds of a step, and of branches at once those of the longest."""
    if isinstance(step, Fork):
        return max(sum(_longest(s, totals) for s in branch) for branch in step.branches)
    return totals[step.part] if isinstance(step, Call) else 0.0


def _joined_bytes(artifact: NetworkArtifact) -> int:
    joins = [s for s in flat(artifact.plan.steps) if isinstance(s, Join)]
    return sum(4 * artifact.plan.size(s.source) for s in joins) * artifact.manifest.batch


def _kernels(count: int) -> str:
    return "one kernel" if count == 1 else f"{count} kernels"
