"""Network -> NetworkArtifact: every layer through the one-layer pipeline, and the kernel that joins them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sprnn_runtime.manifest import BATCH, STEPS, Manifest, Role
from sprnn_runtime.manifest import VERSION as FORMAT_VERSION
from sprnn_runtime.program import LENGTHS_BUFFER, RESETS_BUFFER, state_buffer, table_buffer

from sprnnc.artifact import Artifact
from sprnnc.cell.ir import Model
from sprnnc.cell.network import DECISIONS, Network, NetworkLayer, size_of
from sprnnc.cell.network_weights import in_layer
from sprnnc.cell.weights import expected_shapes
from sprnnc.cubin_cache import build_cubin
from sprnnc.diagnostics import fail
from sprnnc.network_artifact import NetworkArtifact
from sprnnc.schedule.at_once import decided, independent_layers, misfit, one_by_one, shares
from sprnnc.schedule.choices import Choice
from sprnnc.schedule.network_plan import AtOnce, Groups, NetworkPlan, plan_network, print_network_plan
from sprnnc.target import Target
from sprnnc.trace import Trace
from sprnnc.version import VERSION

Tensors = Mapping[str, NDArray[np.float32]]
CompileLayer = Callable[[Model, Tensors, Mapping[str, object], Target, Trace], Artifact]
JOIN_THREADS = 256
_NO_LIMIT = (1 << 31) - 1  # of steps: every layer makes its own launches


@dataclass(frozen=True, slots=True)
class Request:
    """What is compiled for which device. ``schedule``: overrides for all layers, or for one: ``a.blocks``."""

    text: str
    batch: int
    target: Target
    schedule: Mapping[str, object]
    join_source: str


def compile_network(
    network: Network, tensors: Tensors, request: Request, compile_layer: CompileLayer, trace: Trace
) -> NetworkArtifact:
    """The artifact, for ``tensors`` by ``layer.tensor``. Raises CompileError as ``compile_layer`` does."""
    parts, groups, at_once = _compile_parts(network, tensors, request, compile_layer, trace)
    with trace.stage("network") as dump:
        plan = plan_network(network, groups, at_once)
        dump(print_network_plan(plan, network))
    _check_resets(network, parts)
    cubin = build_cubin(request.join_source, request.target.arch).code if request.target.arch else None
    manifest = _manifest(network, plan, parts, request)
    tables = {e.name: tensors[f"{e.name}.table"] for e in network.embeddings}
    return NetworkArtifact(manifest, network, plan, parts, tables, request.join_source, cubin, request.text)


def _compile_parts(
    network: Network, tensors: Tensors, request: Request, compile_layer: CompileLayer, trace: Trace
) -> tuple[dict[str, Artifact], Groups, Choice[AtOnce]]:
    """The layers' artifacts, what runs at once, and why.

    Layers are compiled for their share of the SMs, and again for more where that does not serve them.
    """
    overrides, target = _overrides_by_layer(network, request.schedule), request.target
    off, groups, reasons = _says_off(network, request.schedule), independent_layers(network), list[str]()
    if off:
        groups = one_by_one(groups)
    parts: dict[str, Artifact] = {}
    compiled_for: dict[str, int] = {}
    while True:
        for layer in network.owners:
            share = shares(groups, network, target)[layer.name]
            if compiled_for.get(layer.name) == share:
                continue
            fixed = "blocks" in overrides[layer.name] or any(e.name == "blocks" for e in network.schedule)
            device = target if fixed else replace(target, sms=share)
            own = {name: tensors[f"{layer.name}.{name}"] for name in expected_shapes(layer.cell)}
            with in_layer(layer.name):
                parts[layer.name] = compile_layer(
                    network.model_of(layer), own, overrides[layer.name], device, trace.of_layer(layer.name)
                )
            compiled_for[layer.name] = share
        plans = {name: part.plan for name, part in parts.items()}
        unfit = {g: misfit(g, network, plans, target) for g in groups if len(g) > 1}
        if not any(unfit.values()):
            break
        reasons += [why for why in unfit.values() if why]
        groups = tuple(one for g in groups for one in (one_by_one((g,)) if unfit.get(g) else (g,)))
    if off:
        return parts, groups, Choice(AtOnce.OFF, "the schedule says so", by_user=True)
    return parts, groups, decided(groups, reasons, network, plans, target)


def _says_off(network: Network, schedule: Mapping[str, object]) -> bool:
    """Whether the user wants layers one by one. Raises CompileError E403 for what is no answer."""
    given: list[object] = [e.value for e in network.schedule if e.name == "at_once"]
    given += [schedule["at_once"]] if "at_once" in schedule else []
    for value in given:
        if value not in [a.value for a in AtOnce]:
            raise fail("E403", f"at_once = {value!r}: expected {' or '.join(a.value for a in AtOnce)}")
    return bool(given) and given[-1] == AtOnce.OFF.value


def _check_resets(network: Network, parts: Mapping[str, Artifact]) -> None:
    """Raises CompileError E404 where a mask would not reach every state in the order of time."""
    without = [name for name, part in parts.items() if part.manifest.states and not _has_resets(part)]
    if not any(map(_has_resets, parts.values())):
        return
    if without:
        why = f"layer '{without[0]}' has resets = none, and begins anew with the others or not at all"
        raise fail("E404", f"resets = by_mask cannot be: {why}", help="decide for all layers at once")
    for layer in network.layers:
        if layer.reverse:
            raise fail("E404", f"resets = by_mask cannot be: layer '{layer.name}' is reversed")


def _has_resets(part: Artifact) -> bool:
    return any(b.role is Role.RESETS for b in part.manifest.buffers)


def _overrides_by_layer(network: Network, schedule: Mapping[str, object]) -> dict[str, dict[str, object]]:
    """``a.blocks`` for layer a alone, which goes before ``blocks`` for all layers."""
    names = [layer.name for layer in network.owners]
    common = {n: value for n, value in schedule.items() if "." not in str(n) and n not in DECISIONS}
    found: dict[str, dict[str, object]] = {name: dict(common) for name in names}
    for name, value in schedule.items():
        layer, dot, decision = str(name).partition(".")
        if dot and layer not in found:
            raise fail(
                "E402",
                f"'{name}' decides for layer '{layer}', which has no kernel of its own",
                help=f"layers with kernels: {', '.join(names)}",
            )
        if dot:
            found[layer][decision] = value
    return found


def _manifest(
    network: Network, plan: NetworkPlan, parts: Mapping[str, Artifact], request: Request
) -> Manifest:
    any_part = next(iter(parts.values())).manifest
    return Manifest.from_json(
        {
            "format": "sprnnx",
            "version": list(FORMAT_VERSION),
            "compiler": VERSION,
            "name": network.name,
            "cell": ", ".join(dict.fromkeys(layer.cell.name for layer in network.layers)),
            "target": any_part.target,
            "arch": any_part.arch,
            "dtype": network.dtype.value,
            "batch": request.batch,
            "inputs": [{"name": network.input.name, "size": network.input.size}],
            "states": [{"name": n, "size": size} for _, n, size in _states(network.layers)],
            "output_size": size_of(network.output),
            "steps_per_launch": _NO_LIMIT,
            "resources": {
                f"{name}.{kernel}": {n: getattr(r, n) for n in ("registers", "shared_bytes", "spill_bytes")}
                for name, part in parts.items()
                for kernel, r in part.manifest.resources.items()
            },
            "buffers": [
                *_streams(plan, request.batch),
                {"name": LENGTHS_BUFFER, "role": "lengths", "dtype": "int32", "shape": [request.batch]},
                *([_resets_buffer(request.batch)] if any(map(_has_resets, parts.values())) else []),
                *_state_buffers(network, request.batch),
                *_table_buffers(network),
            ],
            "kernels": [_kernel(name, request.target) for name in ("join_columns", "look_up")],
            "files": {},
        }
    )


def _kernel(name: str, target: Target) -> dict[str, Any]:
    """One whose arguments are the program's to say, but for the numbers of the call."""
    grid = {"grid": 4 * target.sms, "block": JOIN_THREADS, "shared_bytes": 0, "cooperative": False}
    return {"name": name, **grid, "args": [STEPS, BATCH]}


def _resets_buffer(batch: int) -> dict[str, Any]:
    return {"name": RESETS_BUFFER, "role": "resets", "dtype": "uint8", "shape": ["T", batch]}


def _table_buffers(network: Network) -> Iterator[dict[str, Any]]:
    for e in network.embeddings:
        yield {
            "name": table_buffer(e.name),
            "role": "constant",
            "dtype": "float32",
            "shape": [e.rows, e.size],
            "member": f"tables/{e.name}.npy",
        }


def _streams(plan: NetworkPlan, batch: int) -> Iterator[dict[str, Any]]:
    roles = {plan.input: "input", plan.output: "output"}
    for b in plan.buffers:
        role = roles.get(b.name, "scratch")
        yield {"name": b.name, "role": role, "dtype": "float32", "shape": ["T", batch, b.size]}


def _state_buffers(network: Network, batch: int) -> Iterator[dict[str, Any]]:
    for buffer, name, size in _states(network.layers):
        yield {"name": buffer, "role": "state", "dtype": "float32", "shape": [batch, size], "state": name}


def _states(layers: tuple[NetworkLayer, ...]) -> Iterator[tuple[str, str, int]]:
    """Buffer, name and size of every state."""
    for layer in layers:
        for s in layer.cell.states:
            yield state_buffer(layer.name, s.name), f"{layer.name}.{s.name}", s.space.size
