"""A network of layers on a device: ``y, state = network(x, state)``, states by ``layer.state``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import numpy as np

from sprnn_runtime import container, enqueue, launch
from sprnn_runtime.device_protocol import Device, Memory
from sprnn_runtime.errors import InputError, WaitTimeout
from sprnn_runtime.layer import Layer, on_device, open_device
from sprnn_runtime.loaded import Loaded, read, read_constants
from sprnn_runtime.loading import NETWORK
from sprnn_runtime.manifest import Manifest, Role
from sprnn_runtime.program import (
    Call,
    Join,
    Lookup,
    Step,
    read_program,
    state_buffer,
    stream_size,
    table_buffer,
)
from sprnn_runtime.work import Work

Bound = Mapping[str, Memory]


@dataclass(frozen=True, slots=True, eq=False)
class LoadedNetwork:
    """``own``: the buffers of the whole and the kernel that joins; ``parts``: the kernels of each layer that
    does not share another one's."""

    own: Loaded
    program: tuple[Step, ...]
    parts: Mapping[str, Loaded]


def read_network(json: Mapping[str, Any], members: Mapping[str, bytes], where: str) -> LoadedNetwork:
    """The contents of a network's artifact. Raises ArtifactError for anything that is not as written."""
    manifest = Manifest.from_json(json)
    parts = {
        name.removeprefix("layers/").removesuffix(container.SUFFIX): read(data, f"{where}, {name}")
        for name, data in members.items()
        if name.startswith("layers/")
    }
    program = read_program(json[NETWORK], manifest, {name: p.manifest for name, p in parts.items()})
    own, machine = _between(manifest, members, where), (manifest.target, manifest.arch)
    unused = parts.keys() - {s.part for s in program if isinstance(s, Call)}
    if unused or any((p.manifest.target, p.manifest.arch) != machine for p in parts.values()):
        raise container.damaged(where, "its layers are not those of its manifest")
    return LoadedNetwork(own, program, parts)


def _between(manifest: Manifest, members: Mapping[str, bytes], where: str) -> Loaded:
    """What lies between layers: kernels and tables."""
    if {kernel.name for kernel in manifest.kernels} != {"join", "look_up"}:
        raise container.damaged(where, "the kernels between its layers are missing")
    try:
        source = members["join.cu"].decode()
        constants = read_constants(manifest, members, where)
    except KeyError as error:
        raise container.damaged(where, f"member {error} is missing") from error
    except UnicodeDecodeError as error:
        raise container.damaged(where, f"its kernel is not text: {error}") from error
    return Loaded(manifest, source, members.get(f"join.{manifest.arch}.cubin"), constants)


class Network(Layer):
    """Joined layers on one device. To its caller it is a Layer; what lies between layers stays on the device.

    Layers run one after another, each over all steps. The state of a reversed layer at the start is that
    at the last step, and at the end that at the first.
    """

    def __init__(self, loaded: LoadedNetwork, device: Device, parts: Mapping[str, Layer]) -> None:
        """``parts`` are on the same device, their work in one order with its own; closed with this."""
        super().__init__(loaded.own, device)
        self._program = loaded.program
        self._parts = dict(parts)
        self._kernels = {kernel.name: kernel for kernel in self.manifest.kernels}
        by_name = {b.name: b for b in self.manifest.buffers}
        lookups = [step.to for step in self._program if isinstance(step, Lookup)]
        self._tables = {name: by_name[table_buffer(name)].dims(0) for name in lookups}

    def _release(self) -> None:
        for part in self._parts.values():
            part.close()
        super()._release()

    def __call__(
        self,
        x: Any,
        state: Mapping[str, Any] | None = None,
        *,
        lengths: Any = None,
        stream: Any = None,
        out: tuple[Any, Mapping[str, Any]] | None = None,
        budget_ns: int | None = None,
    ) -> tuple[Any, dict[str, Any]]:
        """As a Layer's; for now all columns that were compiled, without ``lengths`` and ``stream``.

        States are called ``layer.state``.
        """
        for name, given in (("lengths", lengths), ("stream", stream)):
            if given is not None:
                raise _refused(f"takes no {name} yet")
        return super().__call__(x, state, out=out, budget_ns=budget_ns)

    def stream(self, *_: Any, **__: Any) -> NoReturn:
        """Raises InputError E604: only a layer streams for now."""
        raise _refused("does not stream yet")

    def _run(self, call: enqueue.Call) -> None:
        """A kernel's status is looked at before it is cleared for its next launch, or when all has run."""
        unseen: dict[str, tuple[str, int]] = {}

        def look(part: str) -> None:
            if part in unseen:
                layer, first = unseen.pop(part)
                _look(layer, self._parts[part], call.budget_ns, first)

        for step, part, own in self._calls(self._own, call):
            for first, count in launch.chunks(call.steps, part.manifest.steps_per_launch):
                look(step.part)
                part._launcher.enqueue(part._own, own, first, count)
                unseen[step.part] = (step.layer, first)
        for name in list(unseen):
            look(name)

    def _enqueue(self, work: Work, call: enqueue.Call) -> None:
        """Everything, without a look at any status."""
        for _, part, own in self._calls(work, call):
            part._enqueue(part._own, own)

    def _check_status(self) -> None:
        for name, part in self._parts.items():
            _look(name, part, None)

    def _calls(self, work: Work, call: enqueue.Call) -> Iterator[tuple[Call, Layer, enqueue.Call]]:
        """Each layer in turn, and what it runs on; joins are launched on the way."""
        work.reserve_chunk(call.steps)
        bound = self._launcher.bound(work, call)
        for step in self._program:
            if isinstance(step, Join):
                self._join(step, bound, call)
            elif isinstance(step, Lookup):
                self._look_up(step, bound, call)
            else:
                part = self._parts[step.part]
                yield step, part, replace(call, memory=_bindings(step, part, bound))

    def _join(self, join: Join, bound: Bound, call: enqueue.Call) -> None:
        sizes = (stream_size(self.manifest, name) for name in (join.source, join.to))
        numbers = (call.steps, call.batch, *sizes, join.first, join.turn, join.add)
        self._launch("join", [bound[join.source], bound[join.to]], numbers)

    def _look_up(self, lookup: Lookup, bound: Bound, call: enqueue.Call) -> None:
        rows, size = self._tables[lookup.to]
        table = bound[table_buffer(lookup.to)]
        numbers = (call.steps, call.batch, size, rows)
        self._launch("look_up", [bound[lookup.source], table, bound[lookup.to]], numbers)

    def _launch(self, kernel: str, memory: Sequence[Memory], numbers: Sequence[int]) -> None:
        self._device.launch(self._kernels[kernel], [*memory, *map(np.int32, numbers)])


def _look(layer: str, part: Layer, budget_ns: int | None, first: int = 0) -> None:
    """Raises, with the name of ``layer``, if the last launch of ``part`` gave up."""
    try:
        part._own.check(budget_ns, first)
    except WaitTimeout as error:
        raise WaitTimeout(error.block, error.step, error.phase, error.budget_ns, layer) from None


def _refused(what: str) -> InputError:
    return InputError("E604", f"a network of layers {what}", "compile a layer alone, which does")


def _bindings(call: Call, part: Layer, bound: Bound) -> dict[str, Memory]:
    """What the caller owns of a layer's buffers."""
    found = {}
    for buffer in part.manifest.buffers:
        if buffer.role is Role.INPUT:
            found[buffer.name] = bound[call.source]
        elif buffer.role is Role.OUTPUT:
            found[buffer.name] = bound[call.to]
        elif buffer.role is Role.STATE:
            found[buffer.name] = bound[state_buffer(call.layer, buffer.state)]
    return found


def open_network(
    loaded: LoadedNetwork, device: str = "auto", *, device_id: int = 0, seed: int = 0
) -> Network:
    """The network on a device, as ``open_layer`` for a layer."""
    return on_device(device, lambda name: _open(loaded, name, device_id, seed))


def _open(loaded: LoadedNetwork, name: str, device_id: int, seed: int) -> Network:
    own = open_device(name, loaded.own, device_id, seed)
    parts: dict[str, Layer] = {}
    try:
        for part, contents in loaded.parts.items():
            parts[part] = Layer(contents, open_device(name, contents, device_id, seed, own))
    except BaseException:
        for layer in parts.values():
            layer.close()
        with own.active():
            own.close()
        raise
    return Network(loaded, own, parts)
