"""What a network of layers does in one call: joins of streams and calls of layers, in order.

Read from an artifact with distrust: a join writes where its numbers say.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sprnn_runtime.errors import ArtifactError
from sprnn_runtime.manifest import TIME, Buffer, Manifest, Role

_STREAMS = (Role.INPUT, Role.OUTPUT, Role.SCRATCH)


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
    """``to[t, b] = table[source[t, b, 0]]``, the table that ``table_buffer(to)`` names."""

    source: str
    to: str


@dataclass(frozen=True, slots=True)
class Fork:
    """Branches that may run at once; what follows waits for all."""

    branches: tuple[tuple[Join | Call | Lookup, ...], ...]


Step = Join | Call | Lookup | Fork


def flat(steps: Iterable[Step]) -> Iterator[Join | Call | Lookup]:
    """All steps, those of branches one branch after another."""
    for step in steps:
        if isinstance(step, Fork):
            for branch in step.branches:
                yield from branch
        else:
            yield step


LENGTHS_BUFFER = "call:lengths"
"""The buffer of the lengths of a call's columns; no stream has such a name."""

RESETS_BUFFER = "call:resets"
"""The same of its resets."""


def state_buffer(name: str) -> str:
    """The buffer of a state, ``layer.state``; no stream has such a name."""
    return f"state:{name}"


def table_buffer(embedding: str) -> str:
    """The buffer of an embedding's table."""
    return f"table:{embedding}"


def read_program(data: Any, manifest: Manifest, parts: Mapping[str, Manifest]) -> tuple[Step, ...]:
    """The steps of a network. Raises ArtifactError E603 where they do not fit its buffers and parts."""
    try:
        steps = tuple(_step(s, parts) for s in data)
        for step in flat(steps):
            _check(step, manifest, parts)
        for fork in (s for s in steps if isinstance(s, Fork)):
            _check_fork(fork)
        calls = [s for s in flat(steps) if isinstance(s, Call)]
        called, states = [c.layer for c in calls], [name for c in calls for _, name in c.states]
        if len(set(called)) < len(called) or len(set(states)) < len(states):
            raise ValueError(f"a layer runs twice: {called}, {states}")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ArtifactError("E603", f"malformed network: {error!r}", "compile it again") from error
    return steps


def _check_fork(fork: Fork) -> None:
    """Branches that meet would race."""
    for branch in fork.branches:
        others = [s for other in fork.branches if other is not branch for s in other]
        if {s.to for s in others} & {name for s in branch for name in (s.source, s.to)}:
            raise ValueError("branches at once write what another reads or writes")
    parts = [s.part for s in flat([fork]) if isinstance(s, Call)]
    if len(set(parts)) < len(parts):
        raise ValueError(f"a layer runs at once with itself: {parts}")


def _step(data: Mapping[str, Any], parts: Mapping[str, Manifest]) -> Step:
    if data["is"] == "Fork":
        return Fork(tuple(tuple(_simple_step(s, parts) for s in branch) for branch in data["branches"]))
    return _simple_step(data, parts)


def _simple_step(data: Mapping[str, Any], parts: Mapping[str, Manifest]) -> Join | Call | Lookup:
    if data["is"] == "Call":
        layer, part, source, to = (str(data[n]) for n in ("layer", "part", "source", "to"))
        if "states" not in data:  # written when every part was one layer
            return Call(
                layer, part, source, to, tuple((s.name, f"{layer}.{s.name}") for s in parts[part].states)
            )
        return Call(layer, part, source, to, tuple((str(own), str(name)) for own, name in data["states"]))
    if data["is"] == "Lookup":
        return Lookup(str(data["source"]), str(data["to"]))
    if data["is"] != "Join":
        raise ValueError(f"unknown step {data['is']!r}")
    first, turn, add = data["first"], data["turn"], data["add"]
    if type(first) is not int or first < 0 or type(turn) is not bool or type(add) is not bool:
        raise ValueError(f"a join has first {first!r}, turn {turn!r}, add {add!r}")
    return Join(str(data["source"]), str(data["to"]), first, turn, add)


def _check(step: Join | Call | Lookup, manifest: Manifest, parts: Mapping[str, Manifest]) -> None:
    source, to = (stream_size(manifest, name) for name in (step.source, step.to))
    if isinstance(step, Join):
        if step.source == step.to or step.first + source > to:
            raise ValueError(f"{step} does not fit its buffers of {source} and {to} values")
        return
    if isinstance(step, Lookup):
        table = {b.name: b for b in manifest.buffers}[table_buffer(step.to)]
        if source != 1 or (table.role, table.dtype) != (Role.CONSTANT, "float32") or table.shape[1:] != (to,):
            raise ValueError(f"{step} does not fit its buffers")
        return
    part = parts[step.part]
    if (part.batch, part.input_size, part.output_size) != (manifest.batch, source, to):
        raise ValueError(f"{step} does not fit its buffers of {source} and {to} values")
    sizes, named = {b.name: b.dims(0) for b in manifest.buffers if b.role is Role.STATE}, dict(step.states)
    for state in part.states:
        if sizes[state_buffer(named.pop(state.name))] != (part.batch, state.size):
            raise ValueError(f"state {state.name} of {step.layer} has another size in the network")
    if named:
        raise ValueError(f"{step.layer} has no states {list(named)}")


def stream_size(manifest: Manifest, name: str) -> int:
    """Values of one step of one column. Raises ValueError for anything but float32 [T, batch, size]."""
    buffer = {b.name: b for b in streams(manifest)}[name]
    time, batch, size = buffer.shape
    if buffer.dtype != "float32" or (time, batch) != (TIME, manifest.batch):
        raise ValueError(f"buffer {name} is no stream")
    return int(size)


def streams(manifest: Manifest) -> Iterator[Buffer]:
    """Buffers of [T, batch, size]: the input, the output, and what lies between layers."""
    return (b for b in manifest.buffers if b.role in _STREAMS)
