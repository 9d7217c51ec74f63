"""Network -> NetworkArtifact: every layer through the one-layer pipeline, and the kernel that joins them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sprnn_runtime.manifest import VERSION as FORMAT_VERSION
from sprnn_runtime.manifest import Manifest
from sprnn_runtime.program import state_buffer, table_buffer

from sprnnc.artifact import Artifact
from sprnnc.cell.ir import Model
from sprnnc.cell.network import Network, NetworkLayer, size_of
from sprnnc.cell.network_weights import in_layer
from sprnnc.cell.weights import expected_shapes
from sprnnc.cubin_cache import build_cubin
from sprnnc.diagnostics import fail
from sprnnc.network_artifact import NetworkArtifact
from sprnnc.schedule.network_plan import NetworkPlan, plan_network, print_network_plan
from sprnnc.target import Target
from sprnnc.trace import Trace
from sprnnc.version import VERSION

Tensors = Mapping[str, NDArray[np.float32]]
CompileLayer = Callable[[Model, Tensors, Mapping[str, object], Trace], Artifact]
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
    with trace.stage("network") as dump:
        plan = plan_network(network)
        dump(print_network_plan(plan, network))
    overrides = _overrides_by_layer(network, request.schedule)
    parts = {}
    for layer in network.owners:
        own = {name: tensors[f"{layer.name}.{name}"] for name in expected_shapes(layer.cell)}
        with in_layer(layer.name):
            model = network.model_of(layer)
            part = compile_layer(model, own, overrides[layer.name], trace.of_layer(layer.name))
            if part.manifest.devices > 1:
                why = "layers that follow each other share the memory of one device"
                raise fail("E404", f"devices = {part.manifest.devices} in a network cannot be: {why}")
            parts[layer.name] = part
    cubin = build_cubin(request.join_source, request.target.arch).code if request.target.arch else None
    manifest = _manifest(network, plan, parts, request)
    tables = {e.name: tensors[f"{e.name}.table"] for e in network.embeddings}
    return NetworkArtifact(manifest, network, plan, parts, tables, request.join_source, cubin, request.text)


def _overrides_by_layer(network: Network, schedule: Mapping[str, object]) -> dict[str, dict[str, object]]:
    """``a.blocks`` for layer a alone, which goes before ``blocks`` for all layers."""
    names = [layer.name for layer in network.owners]
    common = {name: value for name, value in schedule.items() if "." not in str(name)}
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
                *_state_buffers(network, request.batch),
                *_table_buffers(network),
            ],
            "kernels": [_kernel(name, request.target) for name in ("join", "look_up")],
            "files": {},
        }
    )


def _kernel(name: str, target: Target) -> dict[str, Any]:
    """One whose arguments are the program's to say."""
    grid = {"grid": 4 * target.sms, "block": JOIN_THREADS, "shared_bytes": 0, "cooperative": False}
    return {"name": name, **grid, "args": []}


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
