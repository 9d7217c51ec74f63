"""An ONNX model to layers: every LSTM, GRU and RNN node in it, run beside ONNX's own equations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sprnnc.diagnostics import CompileError, fail, shown
from sprnnc.importing.agreement import agreement
from sprnnc.importing.form import source_text
from sprnnc.importing.layer import ImportedLayer
from sprnnc.importing.names import all_different, choose, file_name
from sprnnc.importing.onnx_file import read_onnx
from sprnnc.importing.onnx_graph import FoundNode, operators, recurrent_nodes
from sprnnc.importing.onnx_layer import OPERATORS
from sprnnc.importing.onnx_node import Direction, directions_of


def from_onnx(path: Path, only: Sequence[str] = ()) -> list[ImportedLayer]:
    """Every direction of every recurrent node, in the order of the file; nothing in it is computed.

    ``only``: names of nodes, ``*`` for any letters; empty for all. Nodes of other operators stay outside.
    Raises CompileError E701 where no recurrent node is, E702 and E703 for nodes that cannot be imported, E704
    without the onnx package, E708 where ``only`` names none, and E302, E306, E310, E706, E707.
    """
    graph = read_onnx(path).graph
    found = list(recurrent_nodes(graph, path))
    if not found:
        raise _nothing_recurrent(operators(graph), path)
    nodes = choose(found, [f.name for f in found], only, f"recurrent node in {path}")
    parts = [directions_of(node, path) for node in nodes]
    ends = {True: "reverse", False: ""}
    directions = [(node, d) for node, ways in zip(nodes, parts, strict=True) for d in ways]
    names = iter(all_different(file_name(node.name, ends[d.layer.reverse]) for node, d in directions))
    return [
        _imported(direction, node, next(names), path, place)
        for node, ways, place in zip(nodes, parts, _places(nodes, parts), strict=True)
        for direction in ways
    ]


@dataclass(frozen=True, slots=True)
class _Place:
    stack: str
    depth: int


def _places(nodes: Sequence[FoundNode], parts: Sequence[Sequence[Direction]]) -> list[_Place]:
    """Where each node lies: on the one whose output it reads as it is, all directions side by side.

    Of several nodes that read the same output, the first lies on it; the others begin stacks of their own.
    """
    stacks = all_different(file_name(node.name) for node in nodes)
    by_output: dict[str, tuple[_Place, int]] = {}
    places: list[_Place] = []
    for node, ways, stack in zip(nodes, parts, stacks, strict=True):
        below = node.feeder()
        under, width = (None, 0) if below is None else by_output.get(below.output[0], (None, 0))
        place = _Place(under.stack, under.depth + 1) if under else _Place(stack, 0)
        if place in places or (under and width != ways[0].layer.form.inputs):
            place = _Place(stack, 0)
        places.append(place)
        for output in node.node.output[:1]:
            by_output[output] = place, sum(d.layer.form.hidden for d in ways)
    return places


def _nothing_recurrent(there: list[str], path: Path) -> CompileError:
    return fail(
        "E701",
        f"{path} holds no recurrent node: its operators are {', '.join(map(shown, there[:12])) or 'none'}",
        help=f"{', '.join(OPERATORS)} nodes are imported (torch.onnx.export keeps nn.RNN as one with "
        "dynamo=False); write any other cell by hand, see docs/language.md",
    )


def _imported(direction: Direction, node: FoundNode, name: str, path: Path, place: _Place) -> ImportedLayer:
    layer = direction.layer
    tensors = layer.cell_tensors()
    source = source_text(layer.form, name, tensors, f"{shown(path.name)}, node {shown(node.name)}")
    notes = list(direction.notes)
    if direction.initial:
        states = " and ".join(direction.initial)
        notes.append(f"{states} at the start are in {name}.state.safetensors: sprnnc run --state takes them")
    return ImportedLayer(
        name=name,
        form=layer.form,
        source=source,
        tensors=tensors,
        origin=layer,
        error=agreement(source, tensors, layer, layer.reverse, name),
        reverse=layer.reverse,
        stack=place.stack,
        depth=place.depth,
        initial=direction.initial,
        lengths=direction.lengths,
        notes=tuple(notes),
    )
