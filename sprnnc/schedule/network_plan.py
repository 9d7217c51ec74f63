"""Network -> NetworkPlan: which kernels a network has, and what runs in which order on which buffers.

Before: ``f``, and ``b reverse``, both on ``x``; ``output [f, b]``
After:  f (x) -> f;  x turned around -> b.in;  b (b.in) -> b;
        f -> $output[0:];  b turned around -> $output[f's size:].

The stream of a reversed layer lies in its buffer as the layer writes it, last step first, and is turned
around where it is read in the other direction: two reversed layers in a row need no turning.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import assert_never

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
from sprnnc.schedule.choices import Choice

OUTPUT = "$output"
"""The buffer of an output that no layer writes as it is; no layer has this name."""


class Kernels(Enum):
    """How layers become kernels."""

    EACH = "one a layer"  # layers run one after another, each over all steps


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
    """Runs the kernels of ``part`` from buffer ``source`` to buffer ``to``, with the states of ``layer``."""

    layer: str
    part: str
    source: str
    to: str


@dataclass(frozen=True, slots=True)
class Lookup:
    """``to[t, b] = table[source[t, b, 0]]``, the table of the embedding ``to``."""

    source: str
    to: str


Step = Join | Call | Lookup


@dataclass(frozen=True, slots=True)
class NetworkPlan:
    """``steps`` in their order. The caller owns the buffers called ``input`` and ``output``."""

    kernels: Choice[Kernels]
    buffers: tuple[StreamBuffer, ...]
    steps: tuple[Step, ...]
    input: str
    output: str

    def size(self, buffer: str) -> int:
        """Values of one step of one column."""
        return next(b.size for b in self.buffers if b.name == buffer)


def plan_network(network: Network) -> NetworkPlan:
    """The plan; pure. Raises InternalError where it breaks its own contract."""
    planner = _Planner({network.input.name: _Place(network.input.name, False)})
    planner.buffers.append(StreamBuffer(network.input.name, network.input.size))
    for embedding in network.embeddings:
        planner.embedding(embedding, network.input.name)
    for layer in network.layers:
        planner.layer(layer)
    output = planner.buffer_of(network.output, False, OUTPUT)
    kernels = Choice(Kernels.EACH, "a wavefront over (layer, time) is not built yet")
    plan = NetworkPlan(kernels, tuple(planner.buffers), tuple(planner.steps), network.input.name, output)
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

    def layer(self, layer: NetworkLayer) -> None:
        source = self.buffer_of(layer.operand, layer.reverse, f"{layer.name}.in")
        self.buffers.append(StreamBuffer(layer.name, layer.cell.output_space.size))
        self.steps.append(Call(layer.name, layer.weights, source, layer.name))
        self.places[layer.name] = _Place(layer.name, layer.reverse)

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


def verify(plan: NetworkPlan, network: Network) -> None:
    """Raises InternalError unless every layer runs once, on buffers that are whole by then."""
    written: dict[str, set[int]] = {plan.input: set(range(network.input.size))}
    layers = {layer.name: layer for layer in network.layers}
    for step in plan.steps:
        if written.get(step.source) != set(range(plan.size(step.source))):
            raise InternalError("network", f"{step.source} is read before it is whole")
        columns = set(range(plan.size(step.source) if isinstance(step, Join) else plan.size(step.to)))
        if isinstance(step, Call):
            wanted = sum(v.space.size for v in layers.pop(step.layer).cell.inputs)
            if plan.size(step.source) != wanted:
                raise InternalError("network", f"{step.layer} reads {plan.size(step.source)} of {wanted}")
        elif isinstance(step, Join):
            columns = {step.first + c for c in columns}
            if step.add and not columns <= written.get(step.to, set()):
                raise InternalError("network", f"{step.to} is added to before it is written")
        written[step.to] = written.get(step.to, set()) | columns
    if layers or written.get(plan.output) != set(range(size_of(network.output))):
        raise InternalError("network", "a layer does not run, or the output is not whole")


def print_network_plan(plan: NetworkPlan, network: Network) -> str:
    """The decision, the buffers, and the steps in their order, one a line."""
    lines = [f"kernels = {plan.kernels.value.value}  # {plan.kernels.reason}", ""]
    lines += [f"buffer {b.name}[T, B, {b.size}]" for b in plan.buffers]
    lines += ["", *map(_step_text, plan.steps), "", f"output {plan.output} = {print_joined(network.output)}"]
    return "\n".join(lines) + "\n"


def _step_text(step: Step) -> str:
    if isinstance(step, Call):
        shared = f"  # with the weights of {step.part}" if step.part != step.layer else ""
        return f"{step.to} = layer {step.layer} on {step.source}{shared}"
    if isinstance(step, Lookup):
        return f"{step.to} = its table's rows by {step.source}"
    source = f"{step.source} turned around" if step.turn else step.source
    return f"{step.to}[{step.first}:] {'+=' if step.add else '='} {source}"
