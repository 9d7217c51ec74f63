"""An ONNX model to layers: every LSTM, GRU and RNN node in it, run beside ONNX's own equations."""

from __future__ import annotations

from pathlib import Path

from sprnnc.diagnostics import CompileError, fail, shown
from sprnnc.importing.agreement import agreement
from sprnnc.importing.form import source_text
from sprnnc.importing.layer import ImportedLayer
from sprnnc.importing.names import all_different, file_name
from sprnnc.importing.onnx_file import read_onnx
from sprnnc.importing.onnx_graph import operators, recurrent_nodes
from sprnnc.importing.onnx_layer import OPERATORS
from sprnnc.importing.onnx_node import Direction, directions_of, node_name


def from_onnx(path: Path) -> list[ImportedLayer]:
    """Every direction of every recurrent node, in the order of the file; nothing in it is evaluated.

    Nodes of other operators stay outside. Raises CompileError E701 where no recurrent node is, E702 and E703
    for nodes that cannot be imported, E704 without the onnx package, and E302, E306, E310, E706, E707.
    """
    graph = read_onnx(path).graph
    found = list(recurrent_nodes(graph))
    if not found:
        raise _nothing_recurrent(operators(graph), path)
    directions = [(node_name(f.node), d) for f in found for d in directions_of(f, path)]
    ends = {True: "reverse", False: ""}
    names = all_different(file_name(name, ends[d.layer.reverse]) for name, d in directions)
    return [_imported(d, name, new, path) for (name, d), new in zip(directions, names, strict=True)]


def _nothing_recurrent(there: list[str], path: Path) -> CompileError:
    return fail(
        "E701",
        f"{path} holds no recurrent node: its operators are {', '.join(map(shown, there[:12])) or 'none'}",
        help=f"{', '.join(OPERATORS)} nodes are imported; write any other cell by hand, see docs/language.md",
    )


def _imported(direction: Direction, node: str, name: str, path: Path) -> ImportedLayer:
    layer = direction.layer
    tensors = layer.cell_tensors()
    source = source_text(layer.form, name, tensors, f"{shown(path.name)}, node {shown(node)}")
    notes = list(direction.notes)
    if direction.initial:
        states = " and ".join(direction.initial)
        notes.append(f"{states} at the start are in {name}.state.safetensors: give them as the state")
    return ImportedLayer(
        name=name,
        form=layer.form,
        source=source,
        tensors=tensors,
        origin=layer,
        error=agreement(source, tensors, layer, layer.reverse, name),
        reverse=layer.reverse,
        stack=file_name(node),
        initial=direction.initial,
        notes=tuple(notes),
    )
