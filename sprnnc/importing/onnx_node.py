"""One recurrent ONNX node to its directions; what it asks for that no cell can express is refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sprnnc.diagnostics import CompileError, Diagnostic, fail, shown
from sprnnc.importing.form import Kind
from sprnnc.importing.onnx_file import integer_array
from sprnnc.importing.onnx_graph import FoundNode
from sprnnc.importing.onnx_layer import OPERATORS, OnnxLayer

# Inputs by position, as the operators define them; an RNN and a GRU have the first six.
_INPUTS = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")
_DEFAULTS = {"LSTM": ["sigmoid", "tanh", "tanh"], "GRU": ["sigmoid", "tanh"], "RNN": ["tanh"]}
_DIRECTIONS = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}
_KNOWN = {
    *("activations", "activation_alpha", "activation_beta", "clip", "direction", "hidden_size"),
    *("input_forget", "layout", "linear_before_reset", "output_sequence"),
}


@dataclass(frozen=True, slots=True)
class Direction:
    """A direction of a node: the layer, states at the start and lengths if the file fixes them, and notes."""

    layer: OnnxLayer
    initial: dict[str, NDArray[np.float32]]
    lengths: tuple[int, ...]
    notes: tuple[str, ...]


def directions_of(found: FoundNode, path: Path) -> list[Direction]:
    """The node's directions, forward first.

    Raises CompileError E703 for what the language lacks, all of it at once; E702 for tensors whose shapes do
    not fit, or that are computed by the graph; E302, E306 and E707 as ``tensor_array``.
    """
    attributes = {a.name: _value(a) for a in found.node.attribute}
    errors = _refusals(found, attributes, path)
    if errors:
        raise CompileError(tuple(errors))
    ways = _DIRECTIONS[attributes.get("direction", "forward")]
    tensors = {name: _tensor(found, name, path) for name in ("W", "R", "B", "P")}
    _check_shapes(found, tensors, attributes, len(ways), path)
    initial, notes = _initial_states(found, attributes, tensors["R"].shape[2], len(ways), path)
    lengths, more_notes = _lengths(found, path)
    kinds = _kinds(found.node.op_type, attributes, len(ways))
    result = []
    for at, (reverse, kind) in enumerate(zip(ways, kinds, strict=True)):
        b, p = (tensors[name][at] if tensors[name].size else None for name in ("B", "P"))
        layer = OnnxLayer(kind, tensors["W"][at], tensors["R"][at], b, p, reverse)
        states = {name: s[at] for name, s in initial.items()}
        result.append(Direction(layer, states, lengths, (*notes, *more_notes)))
    return result


def _value(attribute: Any) -> Any:
    """An attribute as a Python value; text in lower case, as names of activations may have any."""
    match attribute.type:
        case attribute.STRING:
            return attribute.s.decode(errors="replace").lower()
        case attribute.STRINGS:
            return [s.decode(errors="replace").lower() for s in attribute.strings]
        case attribute.INT:
            return attribute.i
        case attribute.FLOAT:
            return attribute.f
        case attribute.FLOATS:
            return list(attribute.floats)
        case _:
            return None


def _refusals(found: FoundNode, attributes: Mapping[str, Any], path: Path) -> list[Diagnostic]:
    """Everything that a node asks for and no cell can express."""
    operator = found.node.op_type
    where = f"{path}: {operator} '{shown(found.name)}'"
    errors = []

    def refuse(what: str, help: str) -> None:
        errors.append(Diagnostic("E703", f"{where} {what}, which is not supported", help=help))

    ways = _DIRECTIONS.get(attributes.get("direction", "forward"))
    if ways is None:
        refuse(f"has direction {attributes['direction']!r}", f"directions are {', '.join(_DIRECTIONS)}")
    default = _DEFAULTS[operator]
    activations = attributes.get("activations") or default * len(ways or ())
    allowed = operator == "RNN" and set(activations) <= {"tanh", "relu"}
    if ways and not allowed and activations != default * len(ways):
        usual = ", ".join(default) + (" (or relu)" if operator == "RNN" else "")
        refuse(
            f"has activations {', '.join(map(shown, activations))}",
            f"those of an imported {operator} are {usual}; write another cell by hand, see docs/language.md",
        )
    if attributes.get("clip") is not None:
        refuse("has clip", "write the cell by hand with clamp(x, low, high), see docs/language.md")
    if attributes.get("input_forget"):
        refuse("has input_forget = 1", "write the cell by hand with i = 1 - f, see docs/language.md")
    if attributes.get("layout", 0) not in (0, 1):
        refuse(f"has layout {attributes['layout']!r}", "layouts are 0 and 1")
    for name in attributes.keys() - _KNOWN:
        refuse(f"has the attribute '{shown(name)}'", f"attributes are {', '.join(sorted(_KNOWN))}")
    return errors


def _kinds(operator: str, attributes: Mapping[str, Any], ways: int) -> list[Kind]:
    """One of each direction."""
    if operator == "RNN":
        names = (attributes.get("activations") or ["tanh"]) * ways
        return [Kind.RNN_RELU if name == "relu" else Kind.RNN_TANH for name in names[:ways]]
    if operator == "GRU":
        return [Kind.GRU_AFTER if attributes.get("linear_before_reset") else Kind.GRU_BEFORE] * ways
    return [Kind.LSTM] * ways


def _input(node: Any, name: str) -> str:
    """The name of what an input reads; empty where it is left out."""
    at = _INPUTS.index(name)
    return str(node.input[at]) if at < len(node.input) else ""


def _tensor(found: FoundNode, name: str, path: Path) -> NDArray[np.float64]:
    """An input that must be a constant; without entries where it is left out."""
    source = _input(found.node, name)
    if not source and name not in ("W", "R"):
        return np.zeros(0)
    values = found.constants.find(source)
    if values is None:
        raise fail(
            "E702",
            f"{path}: {name} of {found.node.op_type} '{shown(found.name)}' is computed from "
            f"'{shown(source)}', not stored",
            help="fold constants when exporting, as torch.onnx.export does by default; other nodes can be "
            "imported without it, by --only NAME",
        )
    return values


def _check_shapes(
    found: FoundNode,
    tensors: Mapping[str, NDArray[np.float64]],
    attributes: Mapping[str, Any],
    ways: int,
    path: Path,
) -> None:
    """Raises CompileError E702 with every tensor that does not fit."""
    gates = OPERATORS[found.node.op_type]
    w, r = tensors["W"].shape, tensors["R"].shape
    hidden = attributes.get("hidden_size") or (r[-1] if r else 0)
    inputs = w[-1] if w else 0
    expected = {
        "W": (ways, gates * hidden, max(inputs, 1)),
        "R": (ways, gates * hidden, max(hidden, 1)),
        "B": (ways, 2 * gates * hidden),
        "P": (ways, 3 * hidden),
    }
    errors = []
    for name, shape in expected.items():
        got = tensors[name].shape
        if got != shape and (tensors[name].size or _input(found.node, name)):
            tensor = shown(_input(found.node, name))
            of = f"{name} of {found.node.op_type} '{shown(found.name)}'"
            message = f"{path}: tensor '{tensor}', {of}, has shape {list(got)}, expected {list(shape)}"
            errors.append(Diagnostic("E702", message, help=f"{ways} directions, hidden_size {hidden}"))
    if errors:
        raise CompileError(tuple(errors))


def _initial_states(
    found: FoundNode, attributes: Mapping[str, Any], hidden: int, ways: int, path: Path
) -> tuple[dict[str, NDArray[np.float32]], tuple[str, ...]]:
    """States that the file fixes, [directions, B, H]; zeros are what a layer starts from anyway."""
    initial, notes = {}, []
    for state in ("h", "c") if found.node.op_type == "LSTM" else ("h",):
        source = _input(found.node, f"initial_{state}")
        values = found.constants.find(source) if source else None
        if values is not None:
            if attributes.get("layout", 0) == 1 and values.ndim == 3:
                values = values.swapaxes(0, 1)
            if values.ndim != 3 or values.shape[::2] != (ways, hidden):
                message = f"{path}: tensor '{shown(source)}' has shape {list(values.shape)}"
                raise fail("E702", f"{message}, expected [{ways}, batch, {hidden}] as initial_{state}")
            if values.any():
                initial[state] = values.astype(np.float32)
        elif source and not found.constants.is_zero(source):
            notes.append(f"initial_{state} comes from '{shown(source)}': give it as the state when running")
    return initial, tuple(notes)


def _lengths(found: FoundNode, path: Path) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Steps of each column where the file fixes them, and what to do about lengths that are given."""
    source = _input(found.node, "sequence_lens")
    if not source:
        return (), ()
    stored = found.constants.stored(source)
    if stored is None:
        return (), (f"columns end at '{shown(source)}': {_ENDS}",)
    lengths = integer_array(stored, path)
    if lengths.ndim != 1 or lengths.size == 0 or lengths.min() < 0:
        message = f"{path}: tensor '{shown(source)}', sequence_lens of '{shown(found.name)}'"
        raise fail("E702", f"{message}, is {lengths.tolist()!r:.80}, expected [batch] numbers of steps")
    return tuple(lengths.tolist()), (f"columns end after {_listed(lengths)} steps: {_ENDS}",)


# A column's outputs up to its end do not depend on what comes later; a reversed layer needs the turn.
_ENDS = (
    "run all of them to the longest, and take outputs past a column's end as zero; a reversed layer is "
    "given each column turned around within its own length (sprnnc.importing.run_stack does both)"
)


def _listed(lengths: NDArray[np.int64]) -> str:
    first = ", ".join(map(str, lengths[:8].tolist()))
    return f"{first}, ..." if lengths.size > 8 else first
