"""Finds the recurrent nodes of an ONNX graph, in branches and loops too, and what they may refer to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sprnnc.importing.onnx_layer import OPERATORS

STANDARD = ("", "ai.onnx")  # the domains of the operators that ONNX itself defines


@dataclass(frozen=True, slots=True)
class FoundNode:
    """A recurrent node, and the constants that it can see by name."""

    node: Any
    constants: Mapping[str, Any]


def recurrent_nodes(graph: Any, outer: Mapping[str, Any] | None = None) -> Iterator[FoundNode]:
    """In the order of the file. A branch of an If, or a Loop's body, sees the constants around it."""
    constants = {**(outer or {}), **_constants(graph)}
    for node in graph.node:
        if node.domain in STANDARD and node.op_type in OPERATORS:
            yield FoundNode(node, constants)
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from recurrent_nodes(inner, constants)


def _constants(graph: Any) -> dict[str, Any]:
    """Tensors by name: initializers, the values of Constant nodes, and their copies."""
    found = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.domain not in STANDARD or len(node.output) != 1:
            continue
        if node.op_type == "Constant":
            for value in (a.t for a in node.attribute if a.name == "value"):
                found[node.output[0]] = value
        elif node.op_type == "Identity" and node.input and node.input[0] in found:
            found[node.output[0]] = found[node.input[0]]
    return found


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
