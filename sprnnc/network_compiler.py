"""Network -> NetworkArtifact: every layer through the one-layer pipeline, and the kernel that joins them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from sprnn_runtime.manifest import BATCH, STEPS, Manifest, Role
from sprnn_runtime.manifest import VERSION as FORMAT_VERSION
from sprnn_runtime.program import LENGTHS_BUFFER, RESETS_BUFFER, state_buffer, table_buffer

from sprnnc.artifact import Artifact
from sprnnc.cell.ir import Model
from sprnnc.cell.network import DECISIONS, Network, NetworkLayer, size_of
from sprnnc.cell.network_weights import in_layer
from sprnnc.cubin_cache import build_cubin
from sprnnc.diagnostics import NO_SPAN, CompileError, Span, fail
from sprnnc.network_artifact import NetworkArtifact
from sprnnc.passes.fuse import CannotFuse
from sprnnc.prediction import predicted_us
from sprnnc.schedule.at_once import decided, independent, misfit, one_by_one, shares
from sprnnc.schedule.choices import Choice
from sprnnc.schedule.network_parts import Group, Kernels, Part, find_groups, part_names, parts_of
from sprnnc.schedule.network_plan import AtOnce, NetworkPlan, Runs, plan_network, print_network_plan
from sprnnc.target import Target
from sprnnc.trace import Trace
from sprnnc.version import VERSION

Tensors = Mapping[str, NDArray[np.float32]]
CompilePart = Callable[[Model, Tensors, Mapping[str, object], Target, Trace], Artifact]
AnyEnum = TypeVar("AnyEnum", bound=Enum)
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
    plan, parts = _Build(network, tensors, request, compile_part, trace).chosen()
    with trace.stage("network") as dump:
        dump(print_network_plan(plan, network))
    _check_resets(network, plan, parts)
    cubin = build_cubin(request.join_source, request.target.arch).code if request.target.arch else None
    manifest = _manifest(network, plan, parts, request)
    tables = {e.name: tensors[f"{e.name}.table"] for e in network.embeddings}
    return NetworkArtifact(manifest, network, plan, parts, tables, request.join_source, cubin, request.text)


Built = tuple[NetworkPlan, dict[str, Artifact]]


@dataclass
class _Build:
    """Decides how layers become kernels and what runs at once, and compiles the parts for that."""

    network: Network
    tensors: Tensors
    request: Request
    compile_part: CompilePart
    trace: Trace
    made: dict[tuple[str, str, int], Artifact] = field(default_factory=dict)  # by cell and SMs, too

    def chosen(self) -> Built:
        """The plan and its parts, as the user says or as is predicted to be fastest."""
        wish, groups = self._decision("kernels", Kernels.FITTING), find_groups(self.network)
        if wish.value is Kernels.EACH:
            return self._built(wish, ())
        if not groups:
            why = "no two layers follow each other with states, forward, and seen by the others as one stream"
            if wish.value is not Kernels.FITTING:
                raise fail("E404", f"kernels = {wish.text} cannot be: {why}")
            return self._built(Choice(Kernels.EACH, why), ())
        if wish.value is not Kernels.FITTING:
            return self._built(wish, groups)
        return self._fitting(groups)

    def _fitting(self, groups: tuple[Group, ...]) -> Built:
        """A wavefront, if its step is predicted to take less time than those of its layers together."""
        each = self._built(Choice(Kernels.EACH, ""), ())
        grouped = {name for group in groups for name in group.layers}
        layers = [layer.weights for layer in self.network.layers if layer.name in grouped]
        before = predicted_us(each[1][name] for name in layers)
        if before is None:
            return _with_reason(each, "nothing was measured on this target from which to predict a wavefront")
        if any(map(_has_resets, each[1].values())):
            return _with_reason(each, "a layer that begins anew is read a step later in a wavefront")
        try:
            wave = self._built(Choice(Kernels.WAVEFRONT, ""), groups)
        except CompileError as error:
            return _with_reason(each, f"a wavefront cannot be: {error.diagnostics[0].message}")
        after = predicted_us(wave[1][group.name] for group in groups)
        assert after is not None
        compared = f"{after:.2f} us a step predicted as a wavefront, {before:.2f} one layer after another"
        return _with_reason(wave if after < before else each, compared)

    def _built(self, kernels: Choice[Kernels], groups: tuple[Group, ...]) -> Built:
        """Parts are compiled for their share of the SMs, and again for more where that serves them badly."""
        try:
            parts = {part.name: part for part in parts_of(self.network, kernels.value, groups)}
        except CannotFuse as error:
            raise fail("E404", f"kernels = {kernels.text} cannot be: {error}") from error
        off = self._decision("at_once", AtOnce.FITTING)
        runs, names = independent(self.network, groups), part_names(self.network, groups)
        target = self.request.target
        runs = one_by_one(runs) if off.value is AtOnce.OFF else runs
        reasons: list[str] = []
        while True:
            made = self._made(kernels.value, parts, shares(runs, names, target))
            plans = {name: part.plan for name, part in made.items()}
            unfit = {run: misfit(run, names, plans, target) for run in runs if len(run) > 1}
            if not any(unfit.values()):
                break
            reasons += [why for why in unfit.values() if why]
            runs = _taken_apart(runs, unfit)
        at_once = off if off.value is AtOnce.OFF else decided(runs, reasons, names, plans, target)
        return plan_network(self.network, kernels, groups, runs, at_once), made

    def _made(
        self, kernels: Kernels, parts: Mapping[str, Part], share: Mapping[str, int]
    ) -> dict[str, Artifact]:
        overrides = _overrides_by_part(list(parts), self.request.schedule)
        for name, part in parts.items():
            key = (name, kernels.value if len(part.layers) > 1 else "", share[name])
            if key in self.made:
                continue
            fixed = "blocks" in overrides[name] or any(e.name == "blocks" for e in self.network.schedule)
            target = self.request.target
            device = target if fixed else replace(target, sms=share[name])
            with in_layer(name):
                made = self.compile_part(
                    part.model,
                    part.tensors_of(self.tensors),
                    overrides[name],
                    device,
                    self.trace.of_layer(name),
                )
                _check_devices(made)
            self.made[key] = made
        kind = {name: kernels.value if len(part.layers) > 1 else "" for name, part in parts.items()}
        return {name: self.made[name, kind[name], share[name]] for name in parts}

    def _decision(self, name: str, default: AnyEnum) -> Choice[AnyEnum]:
        """What the user says about the network as a whole, or the default. Raises CompileError E403."""
        entries: list[tuple[object, Span]] = [
            (e.value, e.span) for e in self.network.schedule if e.name == name
        ]
        if name in self.request.schedule:
            entries.append((self.request.schedule[name], NO_SPAN))
        if not entries:
            return Choice(default, "")
        value, span = entries[-1]
        try:
            return Choice(type(default)(getattr(value, "value", value)), "the schedule says so", by_user=True)
        except ValueError:
            names = " or ".join(k.value for k in type(default))
            raise fail("E403", f"{name} = {value!r}: expected {names}", span=span) from None


def _with_reason(built: Built, reason: str) -> Built:
    plan, parts = built
    return replace(plan, kernels=replace(plan.kernels, reason=reason)), parts


def _taken_apart(runs: Runs, unfit: Mapping[tuple[str, ...], str]) -> Runs:
    """``runs``, those that do not fit one by one."""
    return tuple(one for run in runs for one in (one_by_one((run,)) if unfit.get(run) else (run,)))


def _check_resets(network: Network, plan: NetworkPlan, parts: Mapping[str, Artifact]) -> None:
    """Raises CompileError E404 where a mask would not reach every state in the order of time."""
    without = [name for name, part in parts.items() if part.manifest.states and not _has_resets(part)]
    if not any(map(_has_resets, parts.values())):
        return
    if without:
        why = f"layer '{without[0]}' has resets = none, and begins anew with the others or not at all"
        raise fail("E404", f"resets = by_mask cannot be: {why}", help="decide for all layers at once")
    if plan.kernels.value is Kernels.WAVEFRONT:
        why = "in a wavefront a layer's state is read a step after it began anew"
        raise fail("E404", f"resets = by_mask cannot be: {why}", help="say kernels = in_turn, or each")
    for layer in network.layers:
        if layer.reverse:
            raise fail("E404", f"resets = by_mask cannot be: layer '{layer.name}' is reversed")


def _check_devices(part: Artifact) -> None:
    """Raises CompileError E404 where a part of a network would run on several devices."""
    if part.manifest.devices > 1:
        why = "layers that follow each other share the memory of one device"
        raise fail("E404", f"devices = {part.manifest.devices} in a network cannot be: {why}")


def _has_resets(part: Artifact) -> bool:
    return any(b.role is Role.RESETS for b in part.manifest.buffers)


def _overrides_by_part(names: list[str], schedule: Mapping[str, object]) -> dict[str, dict[str, object]]:
    """``a.blocks`` for part a alone, which goes before ``blocks`` for all parts."""
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
            name = f"{layer.name}.{s.name}"
            yield state_buffer(name), name, s.space.size
