"""Network IR: layers, and how their streams are joined.

A *stream* is a sequence of vectors [T, B, size] in the order of time: what the model is given, or what a
layer gives. A layer reads one stream, or several that are added or put side by side.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sprnnc.cell.ir import Cell, DType, Model, ScheduleEntry

DECISIONS = ("at_once", "kernels")
"""Entries of a schedule that are about the network as a whole, not about a layer's kernel."""


@dataclass(frozen=True, slots=True)
class Stream:
    """The model's input, or what the layer called ``name`` gives."""

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Sum:
    """y = terms[0] + terms[1] + ..., elementwise, from left to right; all of one size."""

    terms: tuple[Joined, ...]


@dataclass(frozen=True, slots=True)
class Concat:
    """y = [parts[0], parts[1], ...]: vectors side by side."""

    parts: tuple[Joined, ...]


Joined = Stream | Sum | Concat


@dataclass(frozen=True, slots=True)
class NetworkLayer:
    """One use of a cell. Its stream has the layer's name, and its states are called ``layer.state``.

    ``reverse``: it begins with the last step; its stream is in the order of time all the same.
    ``weights``: the layer whose tensors it uses, called ``weights.tensor``: itself, or an earlier layer of
    the same cell and sizes.
    """

    name: str
    cell: Cell
    operand: Joined
    reverse: bool
    weights: str


@dataclass(frozen=True, slots=True)
class Embedding:
    """y[t, b] = table[x[t, b, 0]]: rows of ``name.table`` [rows, size], chosen by the model's input.

    The input holds whole numbers from 0; what is no row's number gives NaN.
    """

    name: str
    rows: int
    size: int


@dataclass(frozen=True, slots=True)
class Network:
    """A checked model of several layers, every one after those that it reads."""

    name: str
    input: Stream
    embeddings: tuple[Embedding, ...]
    layers: tuple[NetworkLayer, ...]
    output: Joined
    dtype: DType
    accumulate: DType
    schedule: tuple[ScheduleEntry, ...]

    @property
    def owners(self) -> tuple[NetworkLayer, ...]:
        """Layers that have tensors of their own: one kernel each."""
        return tuple(layer for layer in self.layers if layer.weights == layer.name)

    @property
    def layer_schedule(self) -> tuple[ScheduleEntry, ...]:
        """The decisions that every kernel takes."""
        return tuple(e for e in self.schedule if e.name not in DECISIONS)

    def model_of(self, layer: NetworkLayer) -> Model:
        """The layer as a model of its own."""
        name = f"{self.name}_{layer.name}"
        return Model(name, layer.name, layer.cell, self.dtype, self.accumulate, self.layer_schedule)


def size_of(joined: Joined) -> int:
    """Values of one step of one column."""
    match joined:
        case Stream(size=size):
            return size
        case Sum(terms=terms):
            return size_of(terms[0])
        case Concat(parts=parts):
            return sum(map(size_of, parts))


def streams_of(joined: Joined) -> Iterator[Stream]:
    """Every stream that is read, in order; one that is read twice comes twice."""
    match joined:
        case Stream():
            yield joined
        case Sum(terms=several) | Concat(parts=several):
            for one in several:
                yield from streams_of(one)


def print_joined(joined: Joined) -> str:
    """``joined`` in the language."""
    match joined:
        case Stream(name=name):
            return name
        case Sum(terms=terms):
            return " + ".join(map(print_joined, terms))
        case Concat(parts=parts):
            return f"[{', '.join(map(print_joined, parts))}]"
