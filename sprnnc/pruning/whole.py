"""Files of one layer or of several, taken apart into layers to be pruned and put together again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sprnnc.cell.ir import Model
from sprnnc.cell.network import Network
from sprnnc.cell.network_weights import network_shapes
from sprnnc.cell.printer import print_model
from sprnnc.cell.weights import expected_shapes
from sprnnc.language import syntax
from sprnnc.language.check import check_program
from sprnnc.language.parse import parse
from sprnnc.pruning.declare import declare, offsets
from sprnnc.pruning.layers import Layer, Tensors
from sprnnc.sparsity.patterns import Pattern
from sprnnc.sparsity.weight_files import check_tensors, load_tensors


@dataclass(frozen=True, slots=True)
class Whole:
    """A ``.sprnn`` text and its layers, those with tensors of their own; in a network they have prefixes.
    ``tables``: those of its embeddings, which are not pruned."""

    text: str
    filename: str
    layers: tuple[Layer, ...]
    tables: Tensors

    @property
    def tensors(self) -> Tensors:
        """All of them, by the names that they have in the weight file."""
        return self.tables | {f"{i.prefix}{name}": t for i in self.layers for name, t in i.tensors.items()}

    @property
    def density(self) -> float:
        """Non-zeros of all matrices over their entries."""
        matrices = [t for layer in self.layers for t in layer.tensors.values() if t.ndim == 2]
        return sum(map(np.count_nonzero, matrices)) / max(1, sum(m.size for m in matrices))


def take_apart(text: str, weights: Path | Mapping[str, Any], filename: str = "<source>") -> Whole:
    """The layers of a text and its weights. Raises CompileError with E1xx, E2xx and E30x."""
    checked = check_program(parse(text, filename), source=text, filename=filename)
    shapes = expected_shapes(checked.cell) if isinstance(checked, Model) else network_shapes(checked)
    tensors = load_tensors(weights, shapes) if isinstance(weights, Path) else check_tensors(weights, shapes)
    if isinstance(checked, Model):
        return Whole(text, filename, (Layer(text, filename, checked, tensors),), {})
    tables = {name: tensors[name] for name in (f"{e.name}.table" for e in checked.embeddings)}
    return Whole(text, filename, tuple(_layers(checked, tensors, filename)), tables)


def _layers(network: Network, tensors: Tensors, filename: str) -> Iterator[Layer]:
    for layer in network.owners:
        model, prefix = network.model_of(layer), f"{layer.name}."
        own = {name: tensors[f"{prefix}{name}"] for name in expected_shapes(layer.cell)}
        yield Layer(print_model(model) + "\n", f"layer {layer.name} of {filename}", model, own, prefix)


def put_together(whole: Whole, pruned: Sequence[Layer]) -> Whole:
    """``whole`` with its layers ``pruned``, in their order, and a text that declares their patterns.

    Layers of one cell whose patterns come to differ get a cell each: ``LSTM`` and ``LSTM_2``.
    """
    if not whole.layers[0].prefix:
        return Whole(pruned[0].text, whole.filename, (pruned[0],), {})
    text = _with_cells_apart(whole.text, _variants(pruned))
    for layer, old in zip(pruned, whole.layers, strict=True):
        cell = _cell_of(text, layer.prefix)
        text = declare(text, cell, _changed(old, layer))
    return Whole(text, whole.filename, tuple(pruned), whole.tables)


def _changed(old: Layer, new: Layer) -> dict[str, Pattern]:
    """The patterns that pruning declared anew."""
    before = {w.name: w.pattern for w in old.model.cell.weights}
    return {w.name: w.pattern for w in new.model.cell.weights if w.pattern != before[w.name]}


def _variants(pruned: Sequence[Layer]) -> dict[str, int]:
    """Which of its cell's sets of patterns each layer has, by its name; 0 is the first one's."""
    sets: dict[str, list[tuple[Pattern, ...]]] = {}
    found = {}
    for layer in pruned:
        cell = layer.model.cell
        patterns = tuple(w.pattern for w in cell.weights)
        known = sets.setdefault(cell.name, [])
        if patterns not in known:
            known.append(patterns)
        found[layer.prefix.rstrip(".")] = known.index(patterns)
    return found


def _with_cells_apart(text: str, variants: Mapping[str, int]) -> str:
    """``text`` with a copy of a cell for every further variant, and layers that name their own."""
    program = parse(text)
    edits: list[tuple[int, int, str]] = []  # from, to, what stands there then
    names = {c.name.text: {0: c.name.text} for c in program.cells}
    for decl in _layer_decls(program):
        of_cell, variant = names[decl.cell.text], _variant(program, decl, variants)
        if variant not in of_cell:
            of_cell[variant] = _free_name(decl.cell.text, names)
        edits.append((*offsets(text, decl.cell.span), of_cell[variant]))
    for cell in program.cells:
        begin, end = offsets(text, cell.span)
        first, last = (at - begin for at in offsets(text, cell.name.span))
        body = text[begin:end]
        copies = [
            f"\n\n{body[:first]}{name}{body[last:]}" for v, name in names[cell.name.text].items() if v > 0
        ]
        edits.append((end, end, "".join(copies)))
    for begin, end, new in sorted(edits, reverse=True):  # from behind: earlier places stay right
        text = text[:begin] + new + text[end:]
    return text


def _variant(program: syntax.Program, decl: syntax.LayerDecl, variants: Mapping[str, int]) -> int:
    """That of the layer, or of the one whose weights it shares."""
    by_name = {d.name.text: d for d in _layer_decls(program)}
    while decl.shares is not None:
        decl = by_name[decl.shares.text]
    return variants[decl.name.text]


def _free_name(cell: str, taken: Mapping[str, Mapping[int, str]]) -> str:
    names = {name for of_cell in taken.values() for name in of_cell.values()}
    return next(n for n in (f"{cell}_{i}" for i in range(2, len(names) + 3)) if n not in names)


def _cell_of(text: str, prefix: str) -> str:
    return next(d.cell.text for d in _layer_decls(parse(text)) if f"{d.name.text}." == prefix)


def _layer_decls(program: syntax.Program) -> list[syntax.LayerDecl]:
    return [i for i in program.models[0].statements if isinstance(i, syntax.LayerDecl)]
