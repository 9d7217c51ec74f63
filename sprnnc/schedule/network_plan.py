"""Network -> NetworkPlan: which kernels a network has, and what runs in which order on which buffers.

Before: ``f``, and ``b reverse``, both on ``x``; ``output [f, b]``
After:  f (x) -> f;  x turned around -> b.in;  b (b.in) -> b;
        f -> $output[0:];  b turned around -> $output[f's size:].

The stream of a reversed layer lies in its buffer as the layer writes it, last step first, and is turned
around where it is read in the other direction: two reversed layers in a row need no turning.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import assert_never

from sprnnc.cell.ir import Cell
from sprnnc.cell.network import (
    Concat,
    Embedding,
    Joined,
    Network,
    NetworkLayer,
    Stream,
    Sum,
    print_joined,
    size_of,
)
from sprnnc.diagnostics import InternalError
from sprnnc.passes.fuse import Fused
from sprnnc.schedule.choices import Choice
from sprnnc.schedule.network_parts import Group, Kernels, fused_cell, units_of

OUTPUT = "$output"
"""The buffer of an output that no layer writes as it is; no layer has this name."""


class AtOnce(Enum):
    """Whether layers that do not depend on each other run at the same time on one GPU."""

    FITTING = "fitting"  # where the blocks of all of them are resident together
    OFF = "off"


@dataclass(frozen=True, slots=True)
class StreamBuffer:
    """float32 [T, B, size]."""

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Join:
    """``to[t, b, first + i] = source[t, b, i]``; ``+=`` with ``add``.

    With ``turn`` it is ``source[end - 1 - t]``, for the end of column b: T, or its length. Past that, what is
    joined is zero.
    """

    source: str
    to: str
    first: int
    turn: bool
    add: bool


@dataclass(frozen=True, slots=True)
class Call:
    """Runs the kernels of ``part`` from buffer ``source`` to buffer ``to``.

    ``layer``: the layer, or the group of layers. ``states``: the part's name of each state and the network's.
    """

    layer: str
    part: str
    source: str
    to: str
    states: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Lookup:
    """``to[t, b] = table[source[t, b, 0]]``, the table of the embedding ``to``."""

    source: str
    to: str


@dataclass(frozen=True, slots=True)
class Fork:
    """Branches that may run at once, and do not read what another writes; what follows waits for all."""

    branches: tuple[tuple[Join | Call | Lookup, ...], ...]


Step = Join | Call | Lookup | Fork


@dataclass(frozen=True, slots=True)
class NetworkPlan:
    """``steps`` in their order. The caller owns the buffers called ``input`` and ``output``.

    ``groups``: layers that one kernel runs together, as ``kernels`` says.
    """

    kernels: Choice[Kernels]
    groups: tuple[Group, ...]
    at_once: Choice[AtOnce]
    buffers: tuple[StreamBuffer, ...]
    steps: tuple[Step, ...]
    input: str
    output: str

    def size(self, buffer: str) -> int:
        """Values of one step of one column."""
        return next(b.size for b in self.buffers if b.name == buffer)


ONE_EACH = Choice(Kernels.EACH, "layers run one after another, each over all steps")
ALONE = Choice(AtOnce.FITTING, "no layers are independent of each other")

Runs = tuple[tuple[str, ...], ...]
"""Layers and groups of layers by name, in the order in which they run; those of one run go at once."""


def plan_network(
    network: Network,
    kernels: Choice[Kernels] = ONE_EACH,
    groups: tuple[Group, ...] = (),
    runs: Runs | None = None,
    at_once: Choice[AtOnce] = ALONE,
) -> NetworkPlan:
    """The plan; pure. ``runs``: by default each layer or group is alone.

    Raises CannotFuse for groups that cannot be, InternalError for its own faults.
    """
    units = units_of(network, groups)
    layers = {layer.name: layer for layer in network.layers}
    fused = {group.name: (group, fused_cell(network, kernels.value, group)) for group in groups}
    planner = _Planner({network.input.name: _Place(network.input.name, False)})
    planner.buffers.append(StreamBuffer(network.input.name, network.input.size))
    for embedding in network.embeddings:
        planner.embedding(embedding, network.input.name)
    for run in tuple((name,) for name in units) if runs is None else runs:
        planner.run([fused.get(name) or layers[name] for name in run])
    output = planner.buffer_of(network.output, False, OUTPUT)
    buffers, steps = tuple(planner.buffers), tuple(planner.steps)
    plan = NetworkPlan(kernels, groups, at_once, buffers, steps, network.input.name, output)
    verify(plan, network)
    return plan


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a stream lies, and whether its last step comes first there."""

    buffer: str
    turned: bool


@dataclass
class _Planner:
    places: dict[str, _Place]
    buffers: list[StreamBuffer] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    made: dict[tuple[Joined, bool], str] = field(default_factory=dict)  # joined before, for another reader

    def embedding(self, embedding: Embedding, source: str) -> None:
        self.buffers.append(StreamBuffer(embedding.name, embedding.size))
        self.steps.append(Lookup(source, embedding.name))
        self.places[embedding.name] = _Place(embedding.name, False)

    def run(self, units: list[NetworkLayer | tuple[Group, Fused]]) -> None:
        """What several layers read comes before any of them: they may read the same."""
        calls = [self._call(u) if isinstance(u, NetworkLayer) else self._group(*u) for u in units]
        self.steps += calls if len(calls) == 1 else [Fork(tuple((call,) for call in calls))]

    def _call(self, layer: NetworkLayer) -> Call:
        source = self.buffer_of(layer.operand, layer.reverse, f"{layer.name}.in")
        self.buffers.append(StreamBuffer(layer.name, layer.cell.output_space.size))
        self.places[layer.name] = _Place(layer.name, layer.reverse)
        states = tuple((s.name, f"{layer.name}.{s.name}") for s in layer.cell.states)
        return Call(layer.name, layer.weights, source, layer.name, states)

    def _group(self, group: Group, fused: Fused) -> Call:
        """Layers in one kernel, which reads all its inputs side by side."""
        inputs = fused.sources[0] if len(fused.sources) == 1 else Concat(fused.sources)
        source = self.buffer_of(inputs, False, f"{group.name}.in")
        to = group.output.name if isinstance(group.output, Stream) else group.name
        self.buffers.append(StreamBuffer(to, size_of(group.output)))
        if isinstance(group.output, Stream):
            self.places[to] = _Place(to, False)
        else:
            self.made[group.output, False] = to
        return Call(group.name, group.name, source, to, fused.states)

    def buffer_of(self, joined: Joined, turned: bool, name: str) -> str:
        """A buffer that holds ``joined`` in that direction: one that does already, or a new one."""
        if isinstance(joined, Stream) and self.places[joined.name].turned == turned:
            return self.places[joined.name].buffer
        if (joined, turned) not in self.made:
            self.buffers.append(StreamBuffer(name, size_of(joined)))
            self._write(joined, name, 0, turned, False)
            self.made[joined, turned] = name
        return self.made[joined, turned]

    def _write(self, joined: Joined, to: str, first: int, turned: bool, add: bool) -> None:
        match joined:
            case Stream(name=name):
                place = self.places[name]
                self.steps.append(Join(place.buffer, to, first, place.turned != turned, add))
            case Concat(parts=parts):
                for part in parts:
                    self._write(part, to, first, turned, add)
                    first += size_of(part)
            case Sum(terms=terms):
                for number, term in enumerate(terms):
                    self._write(term, to, first, turned, add or number > 0)
            case _:
                assert_never(joined)


def flat(steps: Iterable[Step]) -> Iterator[Join | Call | Lookup]:
    """All steps, those of branches one branch after another."""
    for step in steps:
        if isinstance(step, Fork):
            for branch in step.branches:
                yield from branch
        else:
            yield step


def _verify_fork(fork: Fork) -> None:
    parts = [s.part for s in flat([fork]) if isinstance(s, Call)]
    if len(set(parts)) < len(parts):
        raise InternalError("network", f"weights run at once with themselves: {parts}")
    for branch in fork.branches:
        others = {s.to for other in fork.branches if other is not branch for s in other}
        if others & {name for s in branch for name in (s.source, s.to)}:
            raise InternalError("network", f"branches at once meet in {sorted(others)}")


def verify(plan: NetworkPlan, network: Network) -> None:
    """Raises InternalError unless every layer runs once, on buffers that are whole by then."""
    written: dict[str, set[int]] = {plan.input: set(range(network.input.size))}
    layers = {layer.name: layer for layer in network.layers}
    groups = {group.name: group for group in plan.groups}
    for step in plan.steps:
        if isinstance(step, Fork):
            _verify_fork(step)
    for step in flat(plan.steps):
        if written.get(step.source) != set(range(plan.size(step.source))):
            raise InternalError("network", f"{step.source} is read before it is whole")
        columns = set(range(plan.size(step.source) if isinstance(step, Join) else plan.size(step.to)))
        if isinstance(step, Call) and step.layer in groups:
            cell = fused_cell(network, plan.kernels.value, groups[step.layer]).cell
            for name in groups[step.layer].layers:
                layers.pop(name)
            _require_inputs(step, plan, cell)
        elif isinstance(step, Call):
            _require_inputs(step, plan, layers.pop(step.layer).cell)
        elif isinstance(step, Join):
            columns = {step.first + c for c in columns}
            if step.add and not columns <= written.get(step.to, set()):
                raise InternalError("network", f"{step.to} is added to before it is written")
        written[step.to] = written.get(step.to, set()) | columns
    if layers or written.get(plan.output) != set(range(size_of(network.output))):
        raise InternalError("network", "a layer does not run, or the output is not whole")


def _require_inputs(call: Call, plan: NetworkPlan, cell: Cell) -> None:
    wanted, got = sum(v.space.size for v in cell.inputs), plan.size(call.source)
    if got != wanted:
        raise InternalError("network", f"{call.layer} reads {got} of {wanted}")


def print_network_plan(plan: NetworkPlan, network: Network) -> str:
    """The decision, the buffers, and the steps in their order, one a line."""
    choices = (("kernels", plan.kernels), ("at_once", plan.at_once))
    lines = [f"{name} = {c.text}{' (yours)' if c.by_user else ''}  # {c.reason}" for name, c in choices]
    lines += [f"{g.name} = {', '.join(g.layers)} in one kernel" for g in plan.groups]
    lines.append("")
    lines += [f"buffer {b.name}[T, B, {b.size}]" for b in plan.buffers]
    steps = [text for step in plan.steps for text in _step_texts(step)]
    lines += ["", *steps, "", f"output {plan.output} = {print_joined(network.output)}"]
    return "\n".join(lines) + "\n"


def _step_texts(step: Step) -> list[str]:
    if not isinstance(step, Fork):
        return [_step_text(step)]
    lines = ["at once"]
    for branch in step.branches:
        lines += [f"  {'- ' if number == 0 else '  '}{_step_text(s)}" for number, s in enumerate(branch)]
    return lines


def _step_text(step: Join | Call | Lookup) -> str:
    if isinstance(step, Call):
        shared = f"  # with the weights of {step.part}" if step.part != step.layer else ""
        return f"{step.to} = layer {step.layer} on {step.source}{shared}"
    if isinstance(step, Lookup):
        return f"{step.to} = its table's rows by {step.source}"
    source = f"{step.source} turned around" if step.turn else step.source
    return f"{step.to}[{step.first}:] {'+=' if step.add else '='} {source}"
