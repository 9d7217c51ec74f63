"""Finds the recurrent nodes of an ONNX graph, in branches and loops too, and which feeds which."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sprnnc.importing.onnx_constants import STANDARD, Constants
from sprnnc.importing.onnx_layer import OPERATORS

# What exporters put between two layers: [T, D, B, H] becomes [T, B, D H].
_BETWEEN = ("Squeeze", "Reshape", "Identity", "Dropout", "Transpose")
_DIRECTIONS_LAST = [0, 2, 1, 3]


@dataclass(frozen=True, slots=True)
class FoundNode:
    """A recurrent node, and what it can see by name."""

    node: Any
    constants: Constants

    @property
    def name(self) -> str:
        """Its name, or that of its first output."""
        return str(self.node.name or next(filter(None, self.node.output), self.node.op_type))

    def feeder(self) -> Any:
        """The recurrent node whose output this one reads as it is; None where there is none."""
        at = self.node.input[0] if self.node.input else ""
        for _ in range(8):
            maker = self.constants.maker(at)
            if maker is None or maker.domain not in STANDARD or not maker.input:
                return None
            if maker.op_type in OPERATORS:
                return maker if maker.output[0] == at else None  # and not its last state
            if maker.op_type not in _BETWEEN:
                return None
            if maker.op_type == "Transpose" and not _moves_directions_last(maker):
                return None
            at = maker.input[0]
        return None


def _moves_directions_last(transpose: Any) -> bool:
    return any(a.name == "perm" and list(a.ints) == _DIRECTIONS_LAST for a in transpose.attribute)


def recurrent_nodes(graph: Any, path: Path, outer: Constants | None = None) -> Iterator[FoundNode]:
    """In the order of the file. A branch of an If, or a Loop's body, sees the names around it."""
    constants = Constants(path, outer)
    constants.add_graph(graph)
    for node in graph.node:
        if node.domain in STANDARD and node.op_type in OPERATORS:
            yield FoundNode(node, constants)
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                if inner.node:
                    yield from recurrent_nodes(inner, path, constants)


def operators(graph: Any) -> list[str]:
    """Every operator of the graph once, ``domain.name`` where it is not ONNX's own."""
    names: dict[str, None] = {}
    for node in graph.node:
        prefix = "" if node.domain in STANDARD else f"{node.domain}."
        names[f"{prefix}{node.op_type}"] = None
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                names |= dict.fromkeys(operators(inner))
    return list(names)
