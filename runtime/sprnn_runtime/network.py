"""A network of layers on a device: ``y, state = network(x, state)``, states by ``layer.state``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from sprnn_runtime import container
from sprnn_runtime.device_protocol import Device
from sprnn_runtime.errors import InputError
from sprnn_runtime.layer import Layer, on_device, open_device
from sprnn_runtime.loaded import Loaded, read, read_constants
from sprnn_runtime.loading import NETWORK
from sprnn_runtime.manifest import Manifest
from sprnn_runtime.network_launcher import KERNELS, NetworkLauncher
from sprnn_runtime.program import Call, Join, Step, flat, read_program
from sprnn_runtime.stream import Stream


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
    unused = parts.keys() - {s.part for s in flat(program) if isinstance(s, Call)}
    if unused or any((p.manifest.target, p.manifest.arch) != machine for p in parts.values()):
        raise container.damaged(where, "its layers are not those of its manifest")
    return LoadedNetwork(own, program, parts)


def _between(manifest: Manifest, members: Mapping[str, bytes], where: str) -> Loaded:
    """What lies between layers: kernels and tables."""
    if {kernel.name for kernel in manifest.kernels} not in KERNELS:
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
    """Joined layers on one device. To its caller it is a Layer, whose states are called ``layer.state``; what
    lies between layers stays on the device.

    The state of a reversed layer at the start is that at the last step of each column, and at the end that at
    the first.
    """

    def __init__(self, loaded: LoadedNetwork, device: Device, parts: Mapping[str, Layer]) -> None:
        """``parts`` are on devices beside this one; closed with this."""
        self._parts = dict(parts)
        launchers = {name: part._launcher for name, part in parts.items()}
        super().__init__(loaded.own, device, partial(NetworkLauncher, loaded.program, launchers))
        self._reversed = any(isinstance(s, Join) and s.turn for s in flat(loaded.program))

    def _release(self) -> None:
        for part in self._parts.values():
            part.close()
        super()._release()

    def stream(
        self, state: Mapping[str, Any] | None = None, *, batch: int | None = None, stream: Any = None
    ) -> Stream:
        """As a Layer's. Raises InputError E604 where a layer is reversed: it begins with the last step."""
        if self._reversed:
            help = "call the network on whole sequences"
            raise InputError("E604", "a network with a reversed layer does not stream", help)
        return super().stream(state, batch=batch, stream=stream)


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
