"""Which layers of a network run at once on one GPU: those that do not depend on each other, where all fit.

Every layer is a kernel whose blocks wait for each other: two run at once only where all their blocks are
resident together. So each gets its share of the SMs.
"""

from __future__ import annotations

from collections.abc import Mapping

from sprnnc.cell.network import Network, streams_of
from sprnnc.schedule.choices import Choice
from sprnnc.schedule.network_plan import AtOnce, Groups
from sprnnc.schedule.plan import Plan
from sprnnc.target import Target


def independent_layers(network: Network) -> Groups:
    """Groups whose layers read nothing of each other and have weights of their own."""
    level: dict[str, int] = {}
    groups: dict[tuple[int, int], list[str]] = {}
    for layer in network.layers:
        mine = 1 + max((level.get(s.name, 0) for s in streams_of(layer.operand)), default=0)
        level[layer.name] = mine
        before = [i.weights for i in network.layers if level.get(i.name) == mine and i is not layer]
        again = before.count(layer.weights)  # the same weights do not run at once with themselves
        groups.setdefault((mine, again), []).append(layer.name)
    return tuple(tuple(groups[key]) for key in sorted(groups))


def one_by_one(groups: Groups) -> Groups:
    """The same layers in the same order, each alone."""
    return tuple((name,) for group in groups for name in group)


def shares(groups: Groups, network: Network, target: Target) -> dict[str, int]:
    """The SMs that each layer with weights of its own may take, by name."""
    part = {layer.name: layer.weights for layer in network.layers}
    found: dict[str, int] = {}
    for group in groups:
        for name in group:
            each = max(1, target.sms // len(group))
            found[part[name]] = min(each, found.get(part[name], target.sms))
    return found


def misfit(group: tuple[str, ...], network: Network, plans: Mapping[str, Plan], target: Target) -> str:
    """Why the layers of ``group`` do not run at once, or nothing."""
    part = {layer.name: layer.weights for layer in network.layers}
    blocks = {name: plans[part[name]].choices.blocks.value for name in group}
    if sum(blocks.values()) > target.sms:
        return f"{' and '.join(group)} have {_sum(blocks)} blocks, more than {target.sms} SMs hold at once"
    for name in group:
        plan = plans[part[name]]
        if any(p.streamed_slots for p in plan.phases) and not plan.choices.blocks.by_user:
            return f"{name} would stream its weights from memory with {blocks[name]} of {target.sms} SMs"
    return ""


def fit_text(groups: Groups, network: Network, plans: Mapping[str, Plan], target: Target) -> str:
    """How the layers that run at once share the SMs."""
    part = {layer.name: layer.weights for layer in network.layers}
    texts = []
    for group in (g for g in groups if len(g) > 1):
        blocks = {name: plans[part[name]].choices.blocks.value for name in group}
        texts.append(f"{' and '.join(group)} fit: {_sum(blocks)} blocks on {target.sms} SMs")
    return "; ".join(texts)


def decided(
    groups: Groups,
    reasons: list[str],
    network: Network,
    plans: Mapping[str, Plan],
    target: Target,
) -> Choice[AtOnce]:
    """The decision, with how layers share the SMs, and ``reasons`` why others run one by one."""
    texts = [fit_text(groups, network, plans, target), *reasons]
    return Choice(
        AtOnce.FITTING, "; ".join(t for t in texts if t) or "no layers are independent of each other"
    )


def _sum(blocks: Mapping[str, int]) -> str:
    return " + ".join(map(str, blocks.values()))
