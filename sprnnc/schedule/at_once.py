"""What of a network runs at once on one GPU: layers that do not depend on each other, where all fit.

Every layer, or group of layers in one kernel, has blocks that wait for each other: two run at once only where
all their blocks are resident together. So each gets its share of the SMs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sprnnc.cell.network import Network, streams_of
from sprnnc.schedule.choices import Choice
from sprnnc.schedule.network_parts import Group, part_names, units_of
from sprnnc.schedule.network_plan import ALONE, AtOnce, Runs
from sprnnc.schedule.plan import Plan
from sprnnc.target import Target

PartNames = Mapping[str, str]
"""Whose kernels a layer or group runs, by its name."""


def independent(network: Network, groups: Sequence[Group]) -> Runs:
    """Runs of layers and groups that read nothing of each other and have kernels of their own."""
    part, units = part_names(network, groups), units_of(network, groups)
    unit_of = {layer.name: name for name, layers in units.items() for layer in layers}
    level: dict[str, int] = {}
    runs: dict[tuple[int, int], list[str]] = {}
    for name, layers in units.items():
        read = {unit_of.get(s.name, "") for layer in layers for s in streams_of(layer.operand)} - {name}
        mine = 1 + max((level.get(unit, 0) for unit in read), default=0)
        again = [part[n] for n in level if level[n] == mine].count(part[name])  # not with itself
        level[name] = mine
        runs.setdefault((mine, again), []).append(name)
    return tuple(tuple(runs[key]) for key in sorted(runs))


def one_by_one(runs: Runs) -> Runs:
    """The same in the same order, each alone."""
    return tuple((name,) for run in runs for name in run)


def shares(runs: Runs, part: PartNames, target: Target) -> dict[str, int]:
    """The SMs that each part may take, by name."""
    found: dict[str, int] = {}
    for run in runs:
        for name in run:
            each = max(1, target.sms // len(run))
            found[part[name]] = min(each, found.get(part[name], target.sms))
    return found


def misfit(run: tuple[str, ...], part: PartNames, plans: Mapping[str, Plan], target: Target) -> str:
    """Why those of ``run`` do not go at once, or nothing."""
    blocks = {name: plans[part[name]].choices.blocks.value for name in run}
    if sum(blocks.values()) > target.sms:
        return f"{' and '.join(run)} have {_sum(blocks)} blocks, more than {target.sms} SMs hold at once"
    for name in run:
        plan = plans[part[name]]
        if any(p.streamed_slots for p in plan.phases) and not plan.choices.blocks.by_user:
            return f"{name} would stream its weights from memory with {blocks[name]} of {target.sms} SMs"
    return ""


def decided(
    runs: Runs, reasons: list[str], part: PartNames, plans: Mapping[str, Plan], target: Target
) -> Choice[AtOnce]:
    """The decision, with how layers share the SMs, and ``reasons`` why others run one by one."""
    texts = [_fit_text(runs, part, plans, target), *reasons]
    return Choice(AtOnce.FITTING, "; ".join(t for t in texts if t) or ALONE.reason)


def _fit_text(runs: Runs, part: PartNames, plans: Mapping[str, Plan], target: Target) -> str:
    texts = []
    for run in (r for r in runs if len(r) > 1):
        blocks = {name: plans[part[name]].choices.blocks.value for name in run}
        texts.append(f"{' and '.join(run)} fit: {_sum(blocks)} blocks on {target.sms} SMs")
    return "; ".join(texts)


def _sum(blocks: Mapping[str, int]) -> str:
    return " + ".join(map(str, blocks.values()))
