"""Imported layers to whole models: a stack in one text, its tensors called by their layers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sprnnc.cell.network import Network
from sprnnc.cell.network_reference import run_network_reference
from sprnnc.diagnostics import InternalError, fail
from sprnnc.importing.agreement import BATCH, BOUND, STEPS, relative
from sprnnc.importing.form import cell_text
from sprnnc.importing.layer import Float64, ImportedLayer
from sprnnc.importing.names import all_different
from sprnnc.importing.stack import run_stack
from sprnnc.language.check import check_program
from sprnnc.language.parse import parse


@dataclass(frozen=True, slots=True)
class ImportedModel:
    """A stack, or a layer alone, as ``sprnnc.compile`` takes it: ``source`` and ``tensors``.

    ``layers``: what it was made of. Tensors and ``initial`` states are called by the layers of ``source``
    (``l0_reverse.Wi``), or by their own names where one forward layer is all there is. ``error``: the largest
    of the layers and of the whole against its origin.
    """

    name: str
    source: str
    tensors: dict[str, NDArray[np.float32]]
    layers: tuple[ImportedLayer, ...]
    error: float
    initial: dict[str, NDArray[np.float32]]


def whole_models(layers: Sequence[ImportedLayer]) -> list[ImportedModel]:
    """One model for each stack among ``layers``. Raises CompileError E706 where the whole does not agree
    with its origin."""
    stacks: dict[str, list[ImportedLayer]] = {}
    for layer in sorted(layers, key=lambda layer: layer.depth):
        stacks.setdefault(layer.stack, []).append(layer)
    names = all_different(map(_name, stacks.values()))
    return [_whole(stack, name) for stack, name in zip(stacks.values(), names, strict=True)]


def _name(stack: Sequence[ImportedLayer]) -> str:
    first = stack[0]
    if len(stack) == 1:
        return first.name
    return first.form.kind.value.lower() if first.stack in ("", "main") else first.stack


def _whole(stack: Sequence[ImportedLayer], name: str) -> ImportedModel:
    first = stack[0]
    if len(stack) == 1 and not first.reverse:
        return ImportedModel(name, first.source, first.tensors, (first,), first.error, first.initial)
    source = _text(stack, name)
    tensors = _by_layer((_called(i), i.tensors) for i in stack)
    error = max(_agreement(source, stack, name), *(i.error for i in stack))
    return ImportedModel(
        name, source, tensors, tuple(stack), error, _by_layer((_called(i), i.initial) for i in stack)
    )


def _called(layer: ImportedLayer) -> str:
    """Its name in the model's text."""
    return f"l{layer.depth}" + ("_reverse" if layer.reverse else "")


def _by_layer(
    named: Iterable[tuple[str, Mapping[str, NDArray[np.float32]]]],
) -> dict[str, NDArray[np.float32]]:
    return {f"{layer}.{name}": array for layer, own in named for name, array in own.items()}


def _text(stack: Sequence[ImportedLayer], name: str) -> str:
    cells = _cells(stack)
    lines = [f"# Imported: {len(stack)} layers of {stack[0].origin.description}.", ""]
    lines += dict.fromkeys(text for _, text in cells)
    lines += [f"model {name} {{", f"  input x[{stack[0].form.inputs}]"]
    below, ways = "x", list[str]()
    for layer, (cell, _), above in zip(stack, cells, [*stack[1:], None], strict=True):
        turn = " reverse" if layer.reverse else ""
        lines.append(f"  layer {_called(layer)} = {layer.form.layer(cell)}{turn} on {below}")
        ways.append(_called(layer))
        if above is None or above.depth > layer.depth:
            below, ways = _side_by_side(ways), []
    return "\n".join([*lines, f"  output {below}", "}"]) + "\n"


def _cells(stack: Sequence[ImportedLayer]) -> list[tuple[str, str]]:
    """Name and text of each layer's cell; layers whose cells are alike have the same."""
    made: dict[str, tuple[str, str]] = {}
    texts = [cell_text(i.form, i.form.kind.value, i.tensors) for i in stack]
    for layer, text in zip(stack, texts, strict=True):
        kind = layer.form.kind.value
        number = 1 + sum(other.startswith(f"cell {kind}(") for other in made)
        name = kind if number == 1 else f"{kind}_{number}"
        made.setdefault(text, (name, cell_text(layer.form, name, layer.tensors)))
    return [made[text] for text in texts]


def _side_by_side(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"[{', '.join(names)}]"


def _agreement(source: str, stack: Sequence[ImportedLayer], name: str) -> float:
    """||y - origin|| / ||origin|| of the whole on random input from zero states, both in float64."""
    network = check_program(parse(source, name), source=source, filename=name)
    if not isinstance(network, Network):
        raise InternalError("import", f"{name} is no network")
    x = np.random.default_rng(0).standard_normal((STEPS, BATCH, network.input.size))
    y, _ = run_network_reference(network, {_called(i): i.tensors for i in stack}, x)
    error = relative(y, run_stack(stack, x, _run_origin, [STEPS] * BATCH))
    if not error <= BOUND:
        raise fail("E706", f"{name} does not agree with the layers it was made of: error {error:.3g}")
    return error


def _run_origin(layer: ImportedLayer, x: Float64) -> Float64:
    """The layer's origin from zero states; a reversed one is given its input turned around, as ``run_stack``
    has it, and turns around itself."""
    form = layer.form
    zeros = {"h": np.zeros((x.shape[1], form.outputs)), "c": np.zeros((x.shape[1], form.hidden))}
    turn = -1 if layer.reverse else 1
    return layer.origin.run(x[::turn], zeros)[::turn]
