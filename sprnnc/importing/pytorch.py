"""A PyTorch state_dict to layers: grouped by name, checked by shape, converted, and run beside its origin."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sprnnc.diagnostics import CompileError, Diagnostic, fail, shown
from sprnnc.importing.agreement import agreement
from sprnnc.importing.form import Kind, source_text
from sprnnc.importing.layer import ImportedLayer
from sprnnc.importing.names import all_different, choose, file_name
from sprnnc.importing.pytorch_layer import PyTorchLayer
from sprnnc.importing.pytorch_names import TensorName, split_name

_GATED = {4: Kind.LSTM, 3: Kind.GRU_AFTER}
NONLINEARITIES = {"tanh": Kind.RNN_TANH, "relu": Kind.RNN_RELU}
_KINDS = "nn.LSTM has 4 H rows, nn.GRU 3 H, nn.RNN H"


@dataclass(frozen=True, slots=True)
class _Group:
    """The tensors of one layer and direction, by part (``weight_hh``); ``names``: as the file has them."""

    name: TensorName
    tensors: dict[str, NDArray[Any]]
    names: dict[str, str]


def from_tensors(
    tensors: Mapping[str, NDArray[Any]],
    where: str,
    nonlinearity: str | Mapping[str, str] | None = None,
    only: Sequence[str] = (),
) -> list[ImportedLayer]:
    """Every recurrent layer and direction among ``tensors``, float arrays by their names in the state_dict.

    ``where``: the file or module, for messages. ``nonlinearity``: ``tanh`` or ``relu``, for nn.RNN, whose
    shapes do not tell; or one for each module by name. ``only``: names of modules, ``*`` for any letters.
    Raises CompileError with all that is wrong: E701 no recurrent layer, E702 tensors that are missing or do
    not fit each other, E705 no nonlinearity, E708 no such module; E310 and E706 as ``agreement``.
    """
    groups = _grouped(tensors, where)
    if not groups:
        raise _nothing_recurrent(tensors, where)
    groups = _chosen(groups, where, only)
    errors = [e for g in groups if (e := _shape_error(g, where))]
    errors += _stacking_errors(groups, where) if not errors else []
    if errors:
        raise CompileError(tuple(errors))
    origins = [_origin(group, where, nonlinearity) for group in groups]
    names = all_different(_layer_name(g.name, o) for g, o in zip(groups, origins, strict=True))
    return [_imported(g, o, n, where) for g, o, n in zip(groups, origins, names, strict=True)]


def _grouped(tensors: Mapping[str, NDArray[Any]], where: str) -> list[_Group]:
    """Groups in order of stack, depth and direction; a pruned tensor is multiplied by its mask.

    Raises CompileError E702 for a mask of another shape.
    """
    groups: dict[tuple[str, str], _Group] = {}
    masks = []
    for name, tensor in tensors.items():
        split = split_name(name)
        if split is None:
            continue
        group = groups.setdefault((split.prefix, split.layer), _Group(split, {}, {}))
        if split.pruned == "_mask":
            masks.append((group, split.part, name, tensor))
        else:
            group.tensors[split.part] = tensor
            group.names[split.part] = name
    for group, part, name, mask in masks:
        if part not in group.tensors:
            continue
        if (shape := group.tensors[part].shape) != mask.shape:
            has = f"'{shown(name)}' has shape {list(mask.shape)}, expected {list(shape)}"
            help = f"it is the mask of '{shown(group.names[part])}'"
            raise fail("E702", f"{where}: tensor {has}", help=help)
        group.tensors[part] = group.tensors[part] * mask
    stacks = list(dict.fromkeys(g.name.prefix for g in groups.values()))
    return sorted(groups.values(), key=lambda g: (stacks.index(g.name.prefix), g.name.depth, g.name.reverse))


def _chosen(groups: list[_Group], where: str, only: Sequence[str]) -> list[_Group]:
    modules = list(dict.fromkeys(_module(g) for g in groups))
    chosen = set(choose(modules, modules, only, f"recurrent module in {where}"))
    return [g for g in groups if _module(g) in chosen]


def _module(group: _Group) -> str:
    """Its name in the model; empty where it is the model."""
    return group.name.prefix.rstrip("./_")


def _nothing_recurrent(tensors: Iterable[str], where: str) -> CompileError:
    held = ", ".join(shown(name) for name in list(tensors)[:8]) or "nothing"
    return fail(
        "E701",
        f"{where} holds no recurrent layer",
        help=f"tensors of nn.LSTM, nn.GRU and nn.RNN are called weight_ih_l0 and the like; it holds {held}",
    )


def _shape_error(group: _Group, where: str) -> Diagnostic | None:
    """What is missing, or the first tensor whose shape does not fit the others."""
    shapes = {part: tensor.shape for part, tensor in group.tensors.items()}
    for part, partner in (("weight_ih", "weight_hh"), ("bias_ih", "bias_hh")):
        for there, missing in ((part, partner), (partner, part)):
            if there in shapes and missing not in shapes:
                return _missing(group, there, missing, where)
    if "weight_ih" not in shapes:
        first = next(iter(shapes))
        return _missing(group, first, "weight_ih", where)
    if len(shapes["weight_hh"]) != 2 or min(shapes["weight_hh"]) < 1:
        return _misshaped(group, "weight_hh", "[gates x H, H]", where, _KINDS)
    rows, out = shapes["weight_hh"]
    if "weight_hr" in shapes:
        hidden, kinds = rows // 4, "a projection belongs to nn.LSTM, whose weight_hh has 4 H rows"
        if rows % 4 or not hidden:
            return _misshaped(group, "weight_hh", f"[4 H, {out}]", where, kinds)
        if shapes["weight_hr"] != (out, hidden):
            return _misshaped(group, "weight_hr", f"[{out}, {hidden}]", where, kinds)
    elif rows not in (out, 3 * out, 4 * out):
        wanted = f"[{out}, {out}], [{3 * out}, {out}] or [{4 * out}, {out}]"
        return _misshaped(group, "weight_hh", wanted, where, _KINDS)
    inputs = shapes["weight_ih"][-1] if shapes["weight_ih"] else 0
    expected = {"weight_ih": (rows, max(inputs, 1)), "bias_ih": (rows,), "bias_hh": (rows,)}
    for part, shape in expected.items():
        if part in shapes and shapes[part] != shape:
            has = f"'{shown(group.names['weight_hh'])}' is {list(shapes['weight_hh'])}"
            return _misshaped(group, part, str(list(shape)), where, has)
    return None


def _missing(group: _Group, there: str, missing: str, where: str) -> Diagnostic:
    name = f"{group.name.prefix}{missing}{group.name.layer}"
    return Diagnostic(
        "E702",
        f"{where}: tensor '{shown(name)}' is missing",
        help=f"'{shown(group.names[there])}' is there; save the whole state_dict",
    )


def _misshaped(group: _Group, part: str, expected: str, where: str, help: str) -> Diagnostic:
    shape = list(group.tensors[part].shape)
    name = shown(group.names[part])
    return Diagnostic("E702", f"{where}: tensor '{name}' has shape {shape}, expected {expected}", help=help)


def _stacking_errors(groups: list[_Group], where: str) -> list[Diagnostic]:
    """Layers that do not fit onto the one below, whose directions they read side by side."""
    widths: dict[tuple[str, int], int] = {}
    for g in groups:
        key = (g.name.prefix, g.name.depth)
        widths[key] = widths.get(key, 0) + g.tensors["weight_hh"].shape[1]
    errors = []
    for g in groups:
        below = widths.get((g.name.prefix, g.name.depth - 1))
        rows, inputs = g.tensors["weight_ih"].shape
        if g.name.depth and below is None:
            name = f"{g.name.prefix}weight_ih_l{g.name.depth - 1}"
            errors.append(Diagnostic("E702", f"{where}: tensor '{shown(name)}' is missing"))
        elif below is not None and inputs != below:
            why = f"layer {g.name.depth - 1} gives {below} values in all its directions"
            errors.append(_misshaped(g, "weight_ih", f"[{rows}, {below}]", where, why))
    return errors


def _origin(group: _Group, where: str, nonlinearity: str | Mapping[str, str] | None) -> PyTorchLayer:
    rows, out = group.tensors["weight_hh"].shape
    kind = Kind.LSTM if "weight_hr" in group.tensors else _GATED.get(rows // out)
    if kind is None:
        if isinstance(nonlinearity, Mapping):
            nonlinearity = nonlinearity.get(_module(group))
        if nonlinearity not in NONLINEARITIES:
            raise fail(
                "E705",
                f"{where}: '{shown(group.names['weight_hh'])}' is an nn.RNN's, and its shapes do not tell "
                "tanh from relu",
                help="say which, with --nonlinearity tanh (PyTorch's default) or --nonlinearity relu; "
                "from Python, nonlinearity='tanh'",
            )
        kind = NONLINEARITIES[nonlinearity]
    tensors = {part: np.asarray(t, np.float64) for part, t in group.tensors.items()}
    return PyTorchLayer(kind, tensors, group.name.reverse)


def _layer_name(name: TensorName, origin: PyTorchLayer) -> str:
    stem = name.prefix or origin.form.kind.value.lower()
    return file_name(stem, name.layer)


def _imported(group: _Group, origin: PyTorchLayer, name: str, where: str) -> ImportedLayer:
    tensors = origin.cell_tensors()
    described = f"{where}, tensors {shown(group.names['weight_hh']).replace('weight_hh', '*')}"
    source = source_text(origin.form, name, tensors, described)
    return ImportedLayer(
        name=name,
        form=origin.form,
        source=source,
        tensors=tensors,
        origin=origin,
        error=agreement(source, tensors, origin, origin.reverse, name),
        reverse=origin.reverse,
        stack=file_name(group.name.prefix or "main"),
        depth=group.name.depth,
    )
