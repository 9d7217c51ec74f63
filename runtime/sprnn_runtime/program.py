"""What a network of layers does in one call: joins of streams and calls of layers, in order.

Read from an artifact with distrust: a join writes where its numbers say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sprnn_runtime.errors import ArtifactError
from sprnn_runtime.manifest import TIME, Buffer, Manifest, Role

_STREAMS = (Role.INPUT, Role.OUTPUT, Role.SCRATCH)


@dataclass(frozen=True, slots=True)
class Join:
    """``to[t, b, first + i] = source[t, b, i]``; ``+=`` with ``add``, ``source[T - 1 - t]`` with ``turn``."""

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
    """``to[t, b] = table[source[t, b, 0]]``, the table that ``table_buffer(to)`` names."""

    source: str
    to: str


Step = Join | Call | Lookup


def state_buffer(layer: str, state: str) -> str:
    """The buffer of a layer's state; no stream has such a name."""
    return f"state:{layer}.{state}"


def table_buffer(embedding: str) -> str:
    """The buffer of an embedding's table."""
    return f"table:{embedding}"


def read_program(data: Any, manifest: Manifest, parts: Mapping[str, Manifest]) -> tuple[Step, ...]:
    """The steps of a network. Raises ArtifactError E603 where they do not fit its buffers and parts."""
    try:
        steps = tuple(_step(s) for s in data)
        for step in steps:
            _check(step, manifest, parts)
        called = [s.layer for s in steps if isinstance(s, Call)]
        if len(set(called)) < len(called):
            raise ValueError(f"a layer runs twice: {called}")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ArtifactError("E603", f"malformed network: {error!r}", "compile it again") from error
    return steps


def _step(data: Mapping[str, Any]) -> Step:
    if data["is"] == "Call":
        return Call(*(str(data[n]) for n in ("layer", "part", "source", "to")))
    if data["is"] == "Lookup":
        return Lookup(str(data["source"]), str(data["to"]))
    if data["is"] != "Join":
        raise ValueError(f"unknown step {data['is']!r}")
    first, turn, add = data["first"], data["turn"], data["add"]
    if type(first) is not int or first < 0 or type(turn) is not bool or type(add) is not bool:
        raise ValueError(f"a join has first {first!r}, turn {turn!r}, add {add!r}")
    return Join(str(data["source"]), str(data["to"]), first, turn, add)


def _check(step: Step, manifest: Manifest, parts: Mapping[str, Manifest]) -> None:
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
    sizes = {b.name: b.dims(0) for b in manifest.buffers if b.role is Role.STATE}
    for state in part.states:
        if sizes[state_buffer(step.layer, state.name)] != (part.batch, state.size):
            raise ValueError(f"state {state.name} of {step.layer} has another size in the network")


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
