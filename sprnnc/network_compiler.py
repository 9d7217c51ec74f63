"""Network -> NetworkArtifact: every layer through the one-layer pipeline, and the kernel that joins them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sprnn_runtime.manifest import VERSION as FORMAT_VERSION
from sprnn_runtime.manifest import Manifest
from sprnn_runtime.program import state_buffer, table_buffer

from sprnnc.artifact import Artifact
from sprnnc.cell.ir import Model
from sprnnc.cell.network import KERNELS, Network, NetworkLayer, size_of
from sprnnc.cell.network_weights import in_layer
from sprnnc.cubin_cache import build_cubin
from sprnnc.diagnostics import NO_SPAN, CompileError, fail
from sprnnc.network_artifact import NetworkArtifact
from sprnnc.passes.fuse import CannotFuse
from sprnnc.prediction import predicted_us
from sprnnc.schedule.choices import Choice
from sprnnc.schedule.network_parts import Group, Kernels, Part, find_groups, parts_of
from sprnnc.schedule.network_plan import NetworkPlan, plan_network, print_network_plan
from sprnnc.target import Target
from sprnnc.trace import Trace
from sprnnc.version import VERSION

Tensors = Mapping[str, NDArray[np.float32]]
CompilePart = Callable[[Model, Tensors, Mapping[str, object], Trace], Artifact]
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
    network: Network, tensors: Tensors, request: Request, compile_part: CompilePart, trace: Trace
) -> NetworkArtifact:
    """The artifact, for ``tensors`` by ``layer.tensor``. Raises CompileError as ``compile_part`` does."""
    wish, schedule = _wish(network, request.schedule)
    build = _Build(network, tensors, schedule, compile_part, trace)
    plan, parts = build.chosen(wish)
    with trace.stage("network") as dump:
        dump(print_network_plan(plan, network))
    cubin = build_cubin(request.join_source, request.target.arch).code if request.target.arch else None
    manifest = _manifest(network, plan, parts, request)
    tables = {e.name: tensors[f"{e.name}.table"] for e in network.embeddings}
    return NetworkArtifact(manifest, network, plan, parts, tables, request.join_source, cubin, request.text)


@dataclass
class _Build:
    """Compiles parts, each once, and decides how layers become kernels."""

    network: Network
    tensors: Tensors
    schedule: Mapping[str, object]
    compile_part: CompilePart
    trace: Trace

    def chosen(self, wish: Choice[Kernels]) -> tuple[NetworkPlan, dict[str, Artifact]]:
        """The plan and its parts, as ``wish`` says or as is predicted to be fastest."""
        groups = find_groups(self.network)
        if wish.value is Kernels.EACH:
            return self._built(wish, ())
        if not groups:
            why = "no two layers follow each other with states, forward, and seen by the others as one stream"
            if wish.value is not Kernels.FITTING:
                raise fail("E404", f"{KERNELS} = {wish.text} cannot be: {why}")
            return self._built(Choice(Kernels.EACH, why), ())
        if wish.value is not Kernels.FITTING:
            return self._built(wish, groups)
        return self._fitting(groups)

    def _fitting(self, groups: tuple[Group, ...]) -> tuple[NetworkPlan, dict[str, Artifact]]:
        """A wavefront, if its step is predicted to take less time than those of its layers together."""
        each = self._built(Choice(Kernels.EACH, ""), ())
        grouped = {name for group in groups for name in group.layers}
        layers = [layer.weights for layer in self.network.layers if layer.name in grouped]
        before = predicted_us(each[1][name] for name in layers)
        if before is None:
            return self._renamed(
                each, "nothing was measured on this target from which to predict a wavefront"
            )
        try:
            wave = self._built(Choice(Kernels.WAVEFRONT, ""), groups)
        except (CompileError, CannotFuse) as error:
            return self._renamed(each, f"a wavefront cannot be: {_first_line(error)}")
        after = predicted_us(wave[1][group.name] for group in groups)
        assert after is not None
        compared = f"{after:.2f} us a step predicted as a wavefront, {before:.2f} one layer after another"
        return self._renamed(wave if after < before else each, compared)

    def _renamed(
        self, built: tuple[NetworkPlan, dict[str, Artifact]], reason: str
    ) -> tuple[NetworkPlan, dict[str, Artifact]]:
        plan, parts = built
        return replace(plan, kernels=replace(plan.kernels, reason=reason)), parts

    def _built(
        self, kernels: Choice[Kernels], groups: tuple[Group, ...]
    ) -> tuple[NetworkPlan, dict[str, Artifact]]:
        try:
            plan = plan_network(self.network, kernels, groups)
        except CannotFuse as error:
            raise fail("E404", f"{KERNELS} = {kernels.text} cannot be: {error}") from error
        parts = parts_of(self.network, kernels.value, groups)
        overrides = _overrides_by_part([part.name for part in parts], self.schedule)
        return plan, {part.name: self._part(part, overrides[part.name]) for part in parts}

    def _part(self, part: Part, overrides: Mapping[str, object]) -> Artifact:
        with in_layer(part.name):
            return self.compile_part(
                part.model, part.tensors_of(self.tensors), overrides, self.trace.of_layer(part.name)
            )


def _first_line(error: Exception) -> str:
    return error.diagnostics[0].message if isinstance(error, CompileError) else str(error)


def _wish(network: Network, overrides: Mapping[str, object]) -> tuple[Choice[Kernels], dict[str, object]]:
    """How layers shall become kernels, and the overrides that are about single kernels."""
    entries = [(e.value, e.span) for e in network.schedule if e.name == KERNELS]
    entries += [(overrides[KERNELS], NO_SPAN)] if KERNELS in overrides else []  # type: ignore[list-item]
    rest = {name: value for name, value in overrides.items() if name != KERNELS}
    if not entries:
        return Choice(Kernels.FITTING, ""), rest
    value, span = entries[-1]
    try:
        return Choice(Kernels(getattr(value, "value", value)), "the schedule says so", by_user=True), rest
    except ValueError:
        names = " or ".join(k.value for k in Kernels)
        raise fail("E403", f"{KERNELS} = {value!r}: expected {names}", span=span) from None


def _overrides_by_part(names: list[str], schedule: Mapping[str, object]) -> dict[str, dict[str, object]]:
    """``a.blocks`` for part a alone, which goes before ``blocks`` for all parts."""
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
            name = f"{layer.name}.{s.name}"
            yield state_buffer(name), name, s.space.size
