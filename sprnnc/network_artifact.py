"""A compiled network: the artifacts of its layers, how they are joined, and the kernel that joins them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sprnn_runtime import container
from sprnn_runtime.loaded import Loaded
from sprnn_runtime.loading import NETWORK
from sprnn_runtime.manifest import Manifest
from sprnn_runtime.network import LoadedNetwork, read_network
from sprnn_runtime.program import read_program, table_buffer

from sprnnc.artifact import PATTERNS, Artifact
from sprnnc.cell.network import Network, size_of
from sprnnc.diagnostics import InternalError
from sprnnc.recursion import room_for_deep_expressions
from sprnnc.schedule.network_parts import network_tensors, parts_of
from sprnnc.schedule.network_plan import NetworkPlan, verify
from sprnnc.serialise import decode, encode


@dataclass(frozen=True, slots=True, eq=False)
class NetworkArtifact:
    """A compiled network.

    ``manifest``: of the whole, states called ``layer.state``. ``parts``: by layer, of those with tensors of
    their own, or by group of layers (``plan.groups``); each is a whole artifact of one cell.
    ``tables``: float32 [rows, size], by embedding.
    ``join_source`` and ``join_cubin``: the kernels between layers; the cubin is None for target ``sim``.
    """

    manifest: Manifest
    network: Network
    plan: NetworkPlan
    parts: dict[str, Artifact]
    tables: dict[str, NDArray[np.float32]]
    join_source: str
    join_cubin: bytes | None
    source_text: str

    @room_for_deep_expressions()
    def to_bytes(self) -> bytes:
        """The artifact file's bytes; the same inputs give the same bytes."""
        members = {
            "join.cu": self.join_source.encode(),
            "network.json": _json(self.network),
            "plan.json": _json(self.plan),
            "source.sprnn": self.source_text.encode(),
        }
        if self.join_cubin is not None:
            members[f"join.{self.manifest.arch}.cubin"] = self.join_cubin
        members |= {f"layers/{n}{container.SUFFIX}": part.to_bytes() for n, part in self.parts.items()}
        members |= {f"tables/{n}.npy": container.array_bytes(t) for n, t in self.tables.items()}
        return container.pack(self.manifest.to_json() | {NETWORK: self._steps()}, members)

    def save(self, path: str | Path) -> Path:
        """Writes the file whole or not at all. Raises SprnnError E605 where it cannot be written."""
        where = Path(path)
        container.write_file(where, self.to_bytes())
        return where

    def loaded(self) -> LoadedNetwork:
        """What the runtime needs, without a file."""
        parts = {name: part.loaded() for name, part in self.parts.items()}
        program = read_program(self._steps(), self.manifest, {n: p.manifest for n, p in parts.items()})
        tables = {table_buffer(name): table for name, table in self.tables.items()}
        own = Loaded(self.manifest, self.join_source, self.join_cubin, tables)
        return LoadedNetwork(own, program, parts)

    def layer_tensors(self) -> dict[str, dict[str, NDArray[np.float32]]]:
        """The tensors of every layer that has its own, and the table of every embedding, by name."""
        parts = parts_of(self.network, self.plan.kernels.value, self.plan.groups)
        own = network_tensors(parts, {name: part.tensors for name, part in self.parts.items()})
        return own | {name: {"table": table} for name, table in self.tables.items()}

    def _steps(self) -> list[Any]:
        return [encode(step) for step in self.plan.steps]

    @staticmethod
    @room_for_deep_expressions()
    def unpacked(data: Mapping[str, Any], members: Mapping[str, bytes], where: str) -> NetworkArtifact:
        """Of a file that is unpacked. Raises ArtifactError E603 or E606 for one that is not usable."""
        loaded = read_network(data, members, where)
        try:
            network = decode(json.loads(members["network.json"]), Network, PATTERNS)
            plan = decode(json.loads(members["plan.json"]), NetworkPlan)
            text = members["source.sprnn"].decode()
        except (KeyError, ValueError, TypeError, RecursionError) as error:
            raise container.damaged(where, f"its network or plan cannot be read: {error}") from error
        order = [p.name for p in parts_of(network, plan.kernels.value, plan.groups) if p.name in loaded.parts]
        parts = {
            name: Artifact.from_bytes(members[f"layers/{name}{container.SUFFIX}"], f"{where}, layer {name}")
            for name in order
        }
        own = loaded.own
        if any(table_buffer(e.name) not in own.constants for e in network.embeddings):
            raise container.damaged(where, "a table of its network is missing")
        tables = {e.name: own.constants[table_buffer(e.name)] for e in network.embeddings}
        made = NetworkArtifact(own.manifest, network, plan, parts, tables, own.source, own.cubin, text)
        if [encode(s) for s in plan.steps] != list(data[NETWORK]) or not _agree(made):
            raise container.damaged(where, "its manifest, its network and its layers are of different models")
        return made


Compiled = Artifact | NetworkArtifact


def load(path: str | Path) -> Compiled:
    """What a file holds: a layer or a network. Raises ArtifactError E602, E603 or E606 for one that is not
    usable."""
    where = str(path)
    data = container.read_file(Path(path))
    manifest, members = container.unpack(data, where)
    if NETWORK in manifest:
        return NetworkArtifact.unpacked(manifest, members, where)
    return Artifact.from_bytes(data, where)


def _agree(made: NetworkArtifact) -> bool:
    """Whether the parts of a file are of one model; every part alone is well formed."""
    network, manifest = made.network, made.manifest
    models = {p.name: p.model for p in parts_of(network, made.plan.kernels.value, made.plan.groups)}
    if {name: part.model for name, part in made.parts.items()} != models:
        return False
    states = [(f"{i.name}.{s.name}", s.space.size) for i in network.layers for s in i.cell.states]
    ends = ([(v.name, v.size) for v in manifest.inputs], manifest.output_size)
    try:
        verify(made.plan, network)
    except (InternalError, StopIteration, KeyError):
        return False
    wanted = ([(network.input.name, network.input.size)], size_of(network.output))
    shapes = {name: table.shape for name, table in made.tables.items()}
    if shapes != {e.name: (e.rows, e.size) for e in network.embeddings}:
        return False
    return [(v.name, v.size) for v in manifest.states] == states and ends == wanted


def _json(value: object) -> bytes:
    return json.dumps(encode(value), indent=1).encode()
