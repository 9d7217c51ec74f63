"""Pass 9, second half: everything that a compilation made, in one file that the runtime loads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sprnn_runtime import container
from sprnn_runtime.errors import ArtifactError
from sprnn_runtime.loaded import Loaded, read_members
from sprnn_runtime.loading import NETWORK
from sprnn_runtime.manifest import Manifest

from sprnnc.cell.ir import Model
from sprnnc.cell.weights import expected_shapes
from sprnnc.recursion import room_for_deep_expressions
from sprnnc.schedule.plan import Plan
from sprnnc.serialise import decode, encode
from sprnnc.sparsity import patterns
from sprnnc.version import VERSION

PATTERNS: dict[type, tuple[type, ...]] = {
    patterns.Pattern: (
        patterns.Dense,
        patterns.AsStored,
        patterns.Unstructured,
        patterns.Blocks,
        patterns.BlockDiagonal,
        patterns.NOfM,
        patterns.Balanced,
        patterns.WithDiagonal,
    )
}


@dataclass(frozen=True, slots=True, eq=False)
class Artifact:
    """A compiled layer.

    ``tensors``: the user's weights, float32, matrices [rows, cols], vectors [size].
    ``packed``: the constants of the launch by buffer name. ``cubin`` is None for target ``sim``.
    """

    manifest: Manifest
    kernel_source: str
    plan: Plan
    model: Model
    tensors: dict[str, NDArray[np.float32]]
    packed: dict[str, NDArray[Any]]
    cubin: bytes | None
    source_text: str

    @room_for_deep_expressions()
    def to_bytes(self) -> bytes:
        """The artifact file's bytes; the same inputs give the same bytes."""
        members = {
            "kernel.cu": self.kernel_source.encode(),
            "model.json": _json(self.model),
            "plan.json": _json(self.plan),
            "source.sprnn": self.source_text.encode(),
        }
        if self.cubin is not None:
            members[f"kernel.{self.manifest.arch}.cubin"] = self.cubin
        members |= {f"packed/{n}.npy": container.array_bytes(a) for n, a in self.packed.items()}
        members |= {f"tensors/{n}.npy": container.array_bytes(a) for n, a in self.tensors.items()}
        return container.pack(self.manifest.to_json(), members)

    def save(self, path: str | Path) -> Path:
        """Writes the file whole or not at all. Raises SprnnError E605 where it cannot be written."""
        where = Path(path)
        container.write_file(where, self.to_bytes())
        return where

    def loaded(self) -> Loaded:
        """What the runtime needs, without a file."""
        return Loaded(self.manifest, self.kernel_source, self.cubin, self.packed)

    @staticmethod
    def load(path: str | Path) -> Artifact:
        """Reads a file of one layer. Raises ArtifactError E602, E603 or E606 for one that is not usable.

        The model and the plan are for the compiler's own use, and are read where the same version wrote
        them; what is for the runtime is read from any version of the same major format.
        """
        return Artifact.from_bytes(container.read_file(Path(path)), str(path))

    @staticmethod
    @room_for_deep_expressions()
    def from_bytes(data: bytes, where: str) -> Artifact:
        """The inverse of ``to_bytes``; ``where`` is for messages. Raises as ``load``."""
        manifest, members = container.unpack(data, where)
        if NETWORK in manifest:
            help = "sprnnc.load reads it; its layers are the artifacts in .parts"
            raise ArtifactError("E606", f"{where} holds a network, and one layer is needed here", help)
        loaded = read_members(manifest, members, where)
        try:
            model = decode(json.loads(members["model.json"]), Model, PATTERNS)
            plan = decode(json.loads(members["plan.json"]), Plan)
            text = members["source.sprnn"].decode()
        except (KeyError, ValueError, TypeError, RecursionError) as error:
            if loaded.manifest.compiler != VERSION:
                raise _of_another_compiler(where, loaded.manifest.compiler) from error
            raise container.damaged(where, f"its model or plan cannot be read: {error}") from error
        tensors = {
            name.removeprefix("tensors/").removesuffix(".npy"): container.array_from_bytes(member, where)
            for name, member in members.items()
            if name.startswith("tensors/")
        }
        why = _contradiction(loaded.manifest, model, plan, tensors)
        if why:
            raise container.damaged(where, why)
        return Artifact(
            loaded.manifest, loaded.source, plan, model, tensors, dict(loaded.constants), loaded.cubin, text
        )


def _of_another_compiler(where: str, version: str) -> ArtifactError:
    return ArtifactError(
        "E606",
        f"{where} was compiled by sprnnc {version}, whose plan sprnnc {VERSION} does not read",
        "sprnn_runtime.load runs it all the same; compile it again for everything else",
    )


def _contradiction(
    manifest: Manifest, model: Model, plan: Plan, tensors: Mapping[str, NDArray[Any]]
) -> str | None:
    """How the parts of a file disagree; every part alone is well formed. None where they agree."""
    cell = model.cell
    if (manifest.batch, manifest.dtype, manifest.target) != (plan.batch, plan.dtype.value, plan.target):
        return "its manifest and its plan are of different kernels"
    for mine, theirs in ((manifest.inputs, cell.inputs), (manifest.states, cell.kept_states)):
        if [(v.name, v.size) for v in mine] != [(v.name, v.space.size) for v in theirs]:
            return "its manifest and its model have different inputs or states"
    if manifest.output_size != cell.output_space.size:
        return "its manifest and its model have different outputs"
    expected = expected_shapes(cell)
    if {name: t.shape for name, t in tensors.items()} != expected:
        return f"its tensors are not those of its model: {', '.join(expected)}"
    wrong = [name for name, t in tensors.items() if t.dtype != np.float32]
    return f"its tensors {', '.join(wrong)} are not float32" if wrong else None


def _json(value: object) -> bytes:
    return json.dumps(encode(value), indent=1).encode()
