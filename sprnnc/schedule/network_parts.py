"""Network + groups -> parts: what has a kernel of its own, a layer or several that are fused.

A group is a run of layers that may become one kernel: they follow each other in time, and the rest of
the network sees of them one stream.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from sprnnc.cell.ir import Model
from sprnnc.cell.network import Concat, Joined, Network, NetworkLayer, Stream, Sum, streams_of
from sprnnc.cell.weights import expected_shapes
from sprnnc.passes.fuse import Columns, Fused, fuse

Tensor = NDArray[np.float32]


class Kernels(Enum):
    """How layers become kernels."""

    FITTING = "fitting"  # one for a run of layers where that is predicted to be faster
    EACH = "each"  # one a layer: layers run one after another, each over all steps
    IN_TURN = "in_turn"  # one for a run of layers, which take turns in every step
    WAVEFRONT = "wavefront"  # one for a run of layers, each a step behind those that it reads


@dataclass(frozen=True, slots=True)
class Group:
    """Layers in one kernel, which gives ``output``."""

    name: str
    layers: tuple[str, ...]
    output: Joined


@dataclass(frozen=True, slots=True)
class Part:
    """What one kernel computes: a model of one cell, and where its tensors come from in the network.

    ``layers``: those in it, in their order.
    """

    name: str
    model: Model
    tensors: Mapping[str, Columns]
    layers: tuple[str, ...]

    def tensors_of(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Its own tensors, of those of the network by ``layer.tensor``."""
        return {name: _columns(tensors[c.tensor], c) for name, c in self.tensors.items()}


def find_groups(network: Network) -> tuple[Group, ...]:
    """The runs of two and more layers that can be one kernel."""
    groups = []
    for alike, run in groupby(network.layers, key=_can_join):
        layers = tuple(run)
        if alike and len(layers) > 1:
            groups += [g for g in [_group(network, layers)] if g is not None]
    return tuple(groups)


def parts_of(network: Network, kernels: Kernels, groups: Sequence[Group]) -> tuple[Part, ...]:
    """All kernels, in the order of their first layers."""
    grouped = {layer: group for group in groups for layer in group.layers}
    parts: dict[str, Part] = {}
    for layer in network.layers:
        group = grouped.get(layer.name)
        if group is not None and group.name not in parts:
            parts[group.name] = _fused_part(network, kernels, group)
        if group is None and layer.weights == layer.name:
            parts[layer.name] = _layer_part(network, layer)
    return tuple(parts.values())


def units_of(network: Network, groups: Sequence[Group]) -> dict[str, tuple[NetworkLayer, ...]]:
    """What runs as one, by name, in the order of first layers: a layer, or the layers of a group."""
    owner = {name: group.name for group in groups for name in group.layers}
    units: dict[str, tuple[NetworkLayer, ...]] = {}
    for layer in network.layers:
        unit = owner.get(layer.name, layer.name)
        units[unit] = (*units.get(unit, ()), layer)
    return units


def part_names(network: Network, groups: Sequence[Group]) -> dict[str, str]:
    """Whose kernels each unit runs: its own, or those of the layer whose weights it shares."""
    units = units_of(network, groups)
    grouped = {group.name for group in groups}
    return {name: name if name in grouped else layers[0].weights for name, layers in units.items()}


def fused_cell(network: Network, kernels: Kernels, group: Group) -> Fused:
    """The group as one cell. Raises CannotFuse where that cannot be."""
    layers = [layer for layer in network.layers if layer.name in group.layers]
    cells = dict.fromkeys(layer.cell.name for layer in layers)
    return fuse(layers, group.output, "And".join(cells), wavefront=kernels is Kernels.WAVEFRONT)


def network_tensors(
    parts: Sequence[Part], own: Mapping[str, Mapping[str, Tensor]]
) -> dict[str, dict[str, Tensor]]:
    """The tensors of every layer that has its own, from those of the parts: ``tensors_of`` backwards."""
    pieces: dict[str, list[tuple[int, Tensor]]] = {}
    for part in parts:
        for name, columns in part.tensors.items():
            pieces.setdefault(columns.tensor, []).append((columns.first, own[part.name][name]))
    found: dict[str, dict[str, Tensor]] = {}
    for full, some in pieces.items():
        layer, _, name = full.partition(".")
        found.setdefault(layer, {})[name] = _whole(some)
    return found


def _whole(pieces: Sequence[tuple[int, Tensor]]) -> Tensor:
    """A tensor from runs of its columns; those of layers that share it may overlap."""
    if len(pieces) == 1:
        return pieces[0][1]
    _, any_piece = pieces[0]
    columns = max(first + piece.shape[-1] for first, piece in pieces)
    whole = np.zeros((*any_piece.shape[:-1], columns), any_piece.dtype)
    for first, piece in pieces:
        whole[..., first : first + piece.shape[-1]] = piece
    return whole


def _can_join(layer: NetworkLayer) -> bool:
    """Layers without states are products of all steps at once, which are faster outside of a loop."""
    return not layer.reverse and bool(layer.cell.states) and len(layer.cell.inputs) == 1


def _group(network: Network, layers: tuple[NetworkLayer, ...]) -> Group | None:
    """The run as a group, if what the others read of it is one stream, or one sum."""
    inside = {layer.name for layer in layers}
    others = [layer for layer in network.layers if layer.name not in inside]
    if {layer.weights for layer in layers} & {layer.weights for layer in others}:
        return None
    readers = [(layer.operand, layer.reverse) for layer in others] + [(network.output, False)]
    seen = {r for r in readers if any(s.name in inside for s in streams_of(r[0]))}
    names, last = tuple(layer.name for layer in layers), layers[-1]
    name = _unused(f"{names[0]}_to_{names[-1]}", network)
    if {s.name for joined, _ in seen for s in streams_of(joined)} & inside == {last.name}:
        return Group(name, names, Stream(last.name, last.cell.output_space.size))
    ((joined, turned),) = seen if len(seen) == 1 else ((network.output, True),)
    first = network.layers.index(layers[0])
    known = {network.input.name} | {e.name for e in network.embeddings}
    known |= {layer.name for layer in network.layers[:first]} | inside
    if not turned and _is_sum(joined) and {s.name for s in streams_of(joined)} <= known:
        return Group(name, names, joined)
    return None


def _is_sum(joined: Joined) -> bool:
    match joined:
        case Stream():
            return True
        case Sum(terms=terms):
            return all(map(_is_sum, terms))
        case Concat():
            return False


def _unused(wanted: str, network: Network) -> str:
    names = (
        {layer.name for layer in network.layers} | {e.name for e in network.embeddings} | {network.input.name}
    )
    while wanted in names:
        wanted += "_"
    return wanted


def _layer_part(network: Network, layer: NetworkLayer) -> Part:
    tensors = {name: Columns(f"{layer.name}.{name}") for name in expected_shapes(layer.cell)}
    return Part(layer.name, network.model_of(layer), tensors, (layer.name,))


def _fused_part(network: Network, kernels: Kernels, group: Group) -> Part:
    fused = fused_cell(network, kernels, group)
    model = Model(
        f"{network.name}_{group.name}",
        group.name,
        fused.cell,
        network.dtype,
        network.accumulate,
        network.layer_schedule,
    )
    return Part(group.name, model, fused.tensors, group.layers)


def _columns(tensor: Tensor, wanted: Columns) -> Tensor:
    if not wanted.size:
        return tensor
    return np.ascontiguousarray(tensor[:, wanted.first : wanted.first + wanted.size])
