"""What a library's recurrent cell may be, and its text in the language."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from itertools import groupby

import numpy as np
from numpy.typing import NDArray


class Kind(Enum):
    """The cells that libraries have; the value is the cell's name in the text."""

    LSTM = "LSTM"
    GRU_AFTER = "GRU"  # the reset gate acts after the matrix product, as in PyTorch and cuDNN
    GRU_BEFORE = "GRUResetBefore"  # and before it, as in Cho et al. (2014)
    RNN_TANH = "RNNTanh"
    RNN_RELU = "RNNReLU"

    @property
    def gates(self) -> tuple[str, ...]:
        """Suffixes of the parameters' names, in the order in which the text declares them."""
        if self is Kind.LSTM:
            return ("i", "f", "g", "o")
        return ("z", "r", "n") if self in (Kind.GRU_AFTER, Kind.GRU_BEFORE) else ("",)


@dataclass(frozen=True, slots=True)
class Form:
    """A cell but for its numbers. ``projection``: units of h after an LSTM's projection, None without."""

    kind: Kind
    inputs: int
    hidden: int
    projection: int | None = None
    biased: bool = True
    peepholes: bool = False

    @property
    def state(self) -> str:
        """The symbol of h's size."""
        return "H" if self.projection is None else "R"

    @property
    def sizes(self) -> dict[str, int]:
        """By symbol, in the order of the cell's header."""
        sizes = {"I": self.inputs, "H": self.hidden}
        return sizes if self.projection is None else sizes | {"R": self.projection}

    @property
    def outputs(self) -> int:
        """Values of h."""
        return self.sizes[self.state]

    def layer(self, cell: str) -> str:
        """``LSTM(I=40, H=512)``, with the name that the cell has."""
        return f"{cell}({', '.join(f'{s}={n}' for s, n in self.sizes.items())})"


_SPARSE_BELOW = 0.99  # a few zeros among many weights are chance, not a pattern


def source_text(form: Form, name: str, tensors: Mapping[str, NDArray[np.float32]], origin: str) -> str:
    """A ``.sprnn`` file: the cell ``form``, and a model called ``name`` with its sizes.

    ``tensors``: what will lie beside it; a matrix with zeros is declared sparse, as dense as it is.
    ``origin``: what it came from, for the first line.
    """
    lines = [
        f"# Imported from {origin}.",
        "",
        cell_text(form, form.kind.value, tensors),
        f"model {name} {{",
        f"  layer main = {form.layer(form.kind.value)}",
        "}",
    ]
    return "\n".join(lines) + "\n"


def cell_text(form: Form, name: str, tensors: Mapping[str, NDArray[np.float32]]) -> str:
    """The cell alone, called ``name``, with the patterns of ``tensors``."""
    body = [*_declarations(form, tensors), "", *_equations(form), "output h'"]
    lines = [f"cell {name}({', '.join(form.sizes)}) {{", *(f"  {line}".rstrip() for line in body), "}"]
    return "\n".join(lines) + "\n"


def _declarations(form: Form, tensors: Mapping[str, NDArray[np.float32]]) -> Iterator[str]:
    gates = form.kind.gates
    yield "input  x[I]"
    yield f"state  h[{form.state}], c[H]" if form.kind is Kind.LSTM else "state  h[H]"
    yield from _matrices([f"W{g}" for g in gates], "H, I", tensors)
    yield from _matrices([f"U{g}" for g in gates], f"H, {form.state}", tensors)
    if form.projection is not None:
        yield from _matrices(["P"], "R, H", tensors)
    if form.peepholes:
        yield "weight " + ", ".join(f"p{g}[H]" for g in "ifo")
    if form.biased:
        names = [f"b{g}" for g in gates] + (["bun"] if form.kind is Kind.GRU_AFTER else [])
        yield "bias   " + ", ".join(f"{n}[H]" for n in names)


def _matrices(names: list[str], sizes: str, tensors: Mapping[str, NDArray[np.float32]]) -> Iterator[str]:
    """One line for neighbours with the same pattern."""
    for pattern, group in groupby(names, lambda name: _pattern(tensors[name])):
        yield f"weight {', '.join(f'{n}[{sizes}]' for n in group)}{pattern}"


def _pattern(matrix: NDArray[np.float32]) -> str:
    density = np.count_nonzero(matrix) / matrix.size
    return "" if density > _SPARSE_BELOW else f"  sparse({density:.4g})"


def _equations(form: Form) -> Iterator[str]:
    def total(gate: str, memory: str = "") -> str:
        """What stands inside a gate's activation."""
        peephole = f" + p{gate} * {memory}" if form.peepholes and memory else ""
        return f"W{gate} @ x + U{gate} @ h{peephole}" + (f" + b{gate}" if form.biased else "")

    if form.kind is Kind.LSTM:
        yield f"i = sigmoid({total('i', 'c')})"
        yield f"f = sigmoid({total('f', 'c')})"
        yield f"g = tanh({total('g')})"
        yield "c' = f * c + i * g"
        yield f"o = sigmoid({total('o', _NEW_MEMORY)})"
        exposed = "o * tanh(c')"
        yield f"h' = {exposed}" if form.projection is None else f"h' = P @ ({exposed})"
    elif form.kind in (Kind.GRU_AFTER, Kind.GRU_BEFORE):
        yield f"z = sigmoid({total('z')})"
        yield f"r = sigmoid({total('r')})"
        yield f"n = tanh(Wn @ x + {_candidate(form)}" + (" + bn)" if form.biased else ")")
        yield "h' = z * h + (1 - z) * n"
    else:
        yield f"h' = {'tanh' if form.kind is Kind.RNN_TANH else 'relu'}({total('')})"


_NEW_MEMORY = "c'"  # an output gate's peephole sees the memory of this step


def _candidate(form: Form) -> str:
    """How a GRU's candidate sees h: the recurrent bias stands inside the reset only if that comes after."""
    if form.kind is Kind.GRU_BEFORE:
        return "Un @ (r * h)"
    return "r * (Un @ h + bun)" if form.biased else "r * (Un @ h)"
