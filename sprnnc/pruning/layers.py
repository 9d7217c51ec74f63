"""Prunes layers as files hold them: text and tensors in, text with the patterns and tensors out."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sprnnc.cell.ir import Model
from sprnnc.cell.weights import expected_shapes
from sprnnc.diagnostics import CompileError, fail
from sprnnc.language.check import check
from sprnnc.language.parse import parse
from sprnnc.passes.phases import split_into_phases
from sprnnc.pruning.capacity import densest, most_nonzeros, streamed_slots
from sprnnc.pruning.declare import declare
from sprnnc.pruning.magnitude import Norm, Pruned, prune
from sprnnc.schedule.choose import MAX_BATCH
from sprnnc.sparsity.patterns import NOfM, Pattern, WithDiagonal
from sprnnc.sparsity.weight_files import check_tensors, load_tensors
from sprnnc.target import Target

Tensors = dict[str, NDArray[np.float32]]


class Rank(Enum):
    """Which matrices share one threshold: none, those of a layer, or those of all layers."""

    GATE = "gate"
    LAYER = "layer"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Request:
    """How to prune. ``only``: names of weights, ``*`` for any letters; empty for all that multiply states."""

    pattern: Pattern
    rank: Rank = Rank.LAYER
    norm: Norm = Norm.L2
    only: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Layer:
    """A ``.sprnn`` text with its checked model, and all tensors of its cell, float32.

    ``prefix``: what stands before its tensors' names in the weight file of a network (``l0.``).
    """

    text: str
    filename: str
    model: Model
    tensors: Tensors
    prefix: str = ""


def make_layer(text: str, weights: Path | Mapping[str, Any], filename: str = "<source>") -> Layer:
    """The layer of a text and its weights. Raises CompileError with E1xx, E2xx and E30x."""
    model = check(parse(text, filename), source=text, filename=filename)
    shapes = expected_shapes(model.cell)
    given = load_tensors(weights, shapes) if isinstance(weights, Path) else check_tensors(weights, shapes)
    return Layer(text, filename, model, given)


def prune_layers(layers: Sequence[Layer], request: Request) -> list[Layer]:
    """Each layer pruned, its text declaring the patterns. Raises CompileError as ``prune``, and E713 where
    ``only`` names nothing."""
    chosen = {
        _Place(at, name, layer.filename): layer.tensors[name]
        for at, layer in enumerate(layers)
        for name in _matrices(layer, request.only)
    }
    if not chosen:
        known = ", ".join(f"{layer.prefix}{w.name}" for layer in layers for w in layer.model.cell.weights)
        raise fail("E713", "there is no such matrix to prune", help=f"matrices are {known}")
    pruned: dict[_Place, Pruned] = {}
    for group in _groups(chosen, request.rank):
        together = request.rank is not Rank.GATE and len(group) > 1
        pruned |= prune(group, request.pattern, together=together, norm=request.norm)
    return [
        _with(layer, {place.name: p for place, p in pruned.items() if place.layer == at})
        for at, layer in enumerate(layers)
    ]


def _matrices(layer: Layer, only: Sequence[str]) -> list[str]:
    """Names of those that are asked for, with the layer's prefix or without; or of those that stay in the
    loop: they multiply states."""
    cell = layer.model.cell
    names = [w.name for w in cell.weights]
    if only:
        full = {n: f"{layer.prefix}{n}" for n in names}
        return [n for n in names if any(fnmatchcase(n, w) or fnmatchcase(full[n], w) for w in only)]
    looped = {p.weight for phase in split_into_phases(cell).phases for p in phase.products}
    return [n for n in names if n in looped]


@dataclass(frozen=True, slots=True)
class _Place:
    """Which matrix of which layer; its text is for messages."""

    layer: int
    name: str
    filename: str

    def __str__(self) -> str:
        return f"{self.name} of {self.filename}"


_Chosen = dict[_Place, NDArray[np.float32]]


def _groups(chosen: _Chosen, rank: Rank) -> list[_Chosen]:
    """What shares a threshold; with ``gate`` each matrix alone has the pattern, so that one group will do."""
    if rank is not Rank.LAYER:
        return [chosen]
    layers = dict.fromkeys(place.layer for place in chosen)
    return [{place: m for place, m in chosen.items() if place.layer == at} for at in layers]


def _with(layer: Layer, pruned: Mapping[str, Pruned]) -> Layer:
    if not pruned:
        return layer
    text = declare(layer.text, layer.model.cell.name, {name: p.pattern for name, p in pruned.items()})
    model = check(parse(text, layer.filename), source=text, filename=layer.filename)
    tensors = layer.tensors | {name: p.values for name, p in pruned.items()}
    return Layer(text, layer.filename, model, tensors, layer.prefix)


def prune_to_device(layers: Sequence[Layer], request: Request, target: Target, batch: int = 1) -> list[Layer]:
    """The densest pruning with which every layer stays on ``target``, each layer in a kernel of its own.

    The density of ``request.pattern`` is the most that is tried. What fits is what the compiler's plan says
    (``streamed_slots``), before a build that might spill. Raises CompileError E710 where the pattern has no
    density, E712 where no density fits, and as ``prune_layers``.
    """
    if not 1 <= batch <= MAX_BATCH:
        raise fail("E405", f"batch {batch!r} cannot be: expected 1 to {MAX_BATCH} columns")
    most = _most_density(request.pattern)
    tried: dict[str, list[Layer]] = {}

    def at(density: float) -> list[Layer]:
        pattern = request.pattern.at_density(density)
        assert pattern is not None, "_most_density refuses the others"
        key = pattern.describe()
        if key not in tried:
            tried[key] = prune_layers(layers, dataclasses.replace(request, pattern=pattern))
        return tried[key]

    def fits(density: float) -> bool:
        try:
            pruned = at(density)
        except CompileError as error:
            if any(d.code != "E711" for d in error.diagnostics):
                raise
            return False  # pruned further than that before: only less can be kept
        return all(
            np.sum([np.count_nonzero(layer.tensors[n]) for n in _matrices(layer, request.only)])
            <= most_nonzeros(layer.model, batch, target)
            and streamed_slots(layer.model, layer.tensors, batch, target) == 0
            for layer in pruned
        )

    return at(densest(fits, most))


def _most_density(pattern: Pattern) -> float:
    """The density that the pattern was given; for n of m, n / m."""
    base = pattern.base if isinstance(pattern, WithDiagonal) else pattern
    if pattern.at_density(0.5) is None:
        raise fail(
            "E710",
            f"{pattern.describe()} has no density to choose",
            help="fit sparse(D), blocks(R, C, D), balanced(D, BANKS) or n_of_m(N, M), with D the most to try",
        )
    return base.n / base.m if isinstance(base, NOfM) else float(getattr(base, "density", 1.0))
