"""What an ONNX graph stores, and what it merely moves about: exporters reorder gates by slices and joins.

Nothing is computed: the operators below copy values from place to place, and no result has more values than
twice what was read for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sprnnc.diagnostics import fail, shown
from sprnnc.importing.onnx_file import FLOATS, integer_array, numpy_type, tensor_array

STANDARD = ("", "ai.onnx")  # the domains of the operators that ONNX itself defines
Array = NDArray[Any]
_MOST_DEPTH = 64  # of moves after each other; exporters need a handful


class Constants:
    """Names of a graph and of those around it: stored tensors, and the nodes that make the others."""

    def __init__(self, path: Path, outer: Constants | None = None) -> None:
        self.path = path
        self._tensors: dict[str, Any] = dict(outer._tensors) if outer else {}
        self._makers: dict[str, Any] = dict(outer._makers) if outer else {}

    def add_graph(self, graph: Any) -> None:
        """A name that is declared again hides the one around it."""
        for tensor in graph.initializer:
            self._hide(tensor.name)
            self._tensors[tensor.name] = tensor
        for node in graph.node:
            for name in filter(None, node.output):
                self._hide(name)
                self._makers[name] = node

    def _hide(self, name: str) -> None:
        self._tensors.pop(name, None)
        self._makers.pop(name, None)

    def maker(self, name: str) -> Any:
        """The node that makes ``name``; None for what is stored or given."""
        return self._makers.get(name)

    def find(self, name: str) -> Array | None:
        """Float64 values of what is stored, moved as the graph moves it; None for what is computed.

        Raises CompileError E306 for other types than floats, and as ``tensor_array``.
        """
        try:
            return _Reading(self).array(name)
        except _NotMoved:
            return None
        except (ValueError, IndexError, TypeError, OverflowError, MemoryError) as error:
            raise fail(
                "E702",
                f"{self.path}: '{shown(name)}' cannot be put together from stored tensors: {error}",
                help="fold constants when exporting, as torch.onnx.export does by default",
            ) from error

    def stored(self, name: str) -> Any:
        """The TensorProto called ``name``, an initializer or a Constant's value; None for anything else."""
        if name in self._tensors:
            return self._tensors[name]
        node = self._makers.get(name)
        if node is not None and node.op_type == "Constant" and node.domain in STANDARD:
            return next((a.t for a in node.attribute if a.name == "value"), None)
        return None

    def is_zero(self, name: str, depth: int = 0) -> bool:
        """Whether ``name`` is zeros of some shape, as exporters make them for states that are not given."""
        node = self._makers.get(name)
        if node is None or node.domain not in STANDARD or depth > _MOST_DEPTH:
            return False
        if node.op_type == "ConstantOfShape":
            value = next((a.t for a in node.attribute if a.name == "value"), None)
            return value is None or not tensor_array(value, self.path).any()
        sources = node.input if node.op_type == "Concat" else node.input[:1]
        if node.op_type not in {*_MOVES, "Expand"} or not sources:
            return False
        return all(self._zero_or_stored_zero(source, depth + 1) for source in sources)

    def _zero_or_stored_zero(self, name: str, depth: int) -> bool:
        stored = self.stored(name)
        if stored is not None:
            return not tensor_array(stored, self.path).any()
        return self.is_zero(name, depth)


class _NotMoved(Exception):
    """Something on the way is computed."""


class _Reading:
    """Arrays by name, each put together once."""

    def __init__(self, constants: Constants) -> None:
        self.constants = constants
        self.known: dict[str, Array] = {}
        self.read = 0

    def array(self, name: str, depth: int = 0) -> Array:
        if name not in self.known:
            self.known[name] = self._made(name, depth)
        return self.known[name]

    def _made(self, name: str, depth: int) -> Array:
        tensor = self.constants.stored(name)
        if tensor is not None:
            array = tensor_array(tensor, self.constants.path)
            self.read += array.size
            return array
        node = self.constants.maker(name)
        if node is None or node.op_type not in _MOVES or node.domain not in STANDARD or depth > _MOST_DEPTH:
            raise _NotMoved
        sources = node.input if node.op_type == "Concat" else node.input[:1]
        arrays = [self.array(source, depth + 1) for source in sources]
        if sum(a.size for a in arrays) > 2 * self.read:
            raise ValueError("joined tensors grow beyond what is stored")
        settings = _Settings(node, self.constants)
        return _MOVES[node.op_type](arrays, settings, list(node.output).index(name))


class _Settings:
    """Attributes of a node, and the integers that newer versions of it read from constants instead."""

    def __init__(self, node: Any, constants: Constants) -> None:
        self.node, self.constants = node, constants
        self.attributes = {a.name: a for a in node.attribute}

    def number(self, name: str, default: int) -> int:
        return int(self.attributes[name].i) if name in self.attributes else default

    def numbers(self, name: str, at: int) -> list[int] | None:
        """The attribute ``name``, else input ``at``, else None."""
        if name in self.attributes:
            return [int(i) for i in self.attributes[name].ints]
        source = self.node.input[at] if at < len(self.node.input) else ""
        if not source:
            return None
        tensor = self.constants.stored(source)
        if tensor is None:
            raise _NotMoved
        return [int(i) for i in integer_array(tensor, self.constants.path).ravel()]


_Move = Callable[[Sequence[Array], _Settings, int], Array]


def _identity(arrays: Sequence[Array], settings: _Settings, output: int) -> Array:
    return arrays[0]


def _cast(arrays: Sequence[Array], settings: _Settings, output: int) -> Array:
    """Rounded to the type that is asked for, where it is one of floats."""
    kind = numpy_type(settings.number("to", 1))
    if str(kind) not in FLOATS:
        raise _NotMoved
    with np.errstate(over="ignore"):  # becomes Inf, which is refused later
        return arrays[0].astype(kind).astype(np.float64)


def _concat(arrays: Sequence[Array], settings: _Settings, output: int) -> Array:
    return np.concatenate(arrays, axis=settings.number("axis", 0))


def _unsqueeze(arrays: Sequence[Array], settings: _Settings, output: int) -> Array:
    return np.expand_dims(arrays[0], tuple(settings.numbers("axes", 1) or ()))


def _squeeze(arrays: Sequence[Array], settings: _Settings, output: int) -> Array:
    axes = settings.numbers("axes", 1)
    return np.squeeze(arrays[0], None if axes is None else tuple(axes))


def _transpose(arrays: Sequence[Array], settings: _Settings, output: int) -> Array:
    return np.transpose(arrays[0], settings.numbers("perm", 1))


def _reshape(arrays: Sequence[Array], settings: _Settings, output: int) -> Array:
    """A 0 keeps a size, -1 takes what is left."""
    sizes = settings.numbers("shape", 1) or []
    if not settings.number("allowzero", 0):
        sizes = [arrays[0].shape[i] if size == 0 else size for i, size in enumerate(sizes)]
    return arrays[0].reshape(sizes)


def _slice(arrays: Sequence[Array], settings: _Settings, output: int) -> Array:
    starts, ends = settings.numbers("starts", 1) or [], settings.numbers("ends", 2) or []
    axes = settings.numbers("axes", 3) or list(range(len(starts)))
    steps = settings.numbers("steps", 4) or [1] * len(starts)
    parts = [slice(None)] * arrays[0].ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        if step < 1:
            raise _NotMoved
        parts[axis] = slice(start, end, step)
    return arrays[0][tuple(parts)]


def _split(arrays: Sequence[Array], settings: _Settings, output: int) -> Array:
    sizes, axis = settings.numbers("split", 1), settings.number("axis", 0)
    count = len(settings.node.output)
    if sizes is None:
        return np.split(arrays[0], count, axis=axis)[output]
    if sum(sizes) != arrays[0].shape[axis] or len(sizes) != count:
        raise ValueError(f"parts of {sizes} are split from {arrays[0].shape[axis]}")
    return np.split(arrays[0], np.cumsum(sizes)[:-1], axis=axis)[output]


_MOVES: Mapping[str, _Move] = {
    "Cast": _cast,
    "Concat": _concat,
    "Identity": _identity,
    "Reshape": _reshape,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
