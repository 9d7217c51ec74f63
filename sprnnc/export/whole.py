"""What is exported, a layer or a network: one list of buffers, and one list of steps that every run takes.

Before: a network's program, and the manifest of each of its parts, whose buffers are called alike
After:  buffers ``lower.slots_1``, ``upper.slots_1``, ...; runs of layers on them, and the kernels between
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray
from sprnn_runtime import launch
from sprnn_runtime.between import between
from sprnn_runtime.launch import WORK, KernelStep, Pointer
from sprnn_runtime.manifest import Buffer, Manifest, Role
from sprnn_runtime.program import Call, Join, flat, state_buffer, table_buffer

from sprnnc.artifact import Artifact
from sprnnc.diagnostics import fail
from sprnnc.network_artifact import Compiled, NetworkArtifact

NOTHING = ""
"""As the buffer of an argument: a null pointer."""

BETWEEN = ""
"""As the part of a kernel: those between layers."""


@dataclass(frozen=True, slots=True)
class LayerRun:
    """The kernels of ``part`` over all steps, from buffer ``source`` to ``to``.

    In chunks of at most ``steps_per_launch`` steps, each of which does ``chunk``, on buffers of the whole.
    """

    layer: str
    part: str
    source: str
    to: str
    steps_per_launch: int
    chunk: tuple[launch.Step, ...]


@dataclass(frozen=True, slots=True)
class Kernels:
    """The source of a part's kernels, and their machine code."""

    source: str
    cubin: bytes


@dataclass(frozen=True, slots=True, eq=False)
class Whole:
    """``buffers``: all of them; scratch that is in ``most_steps`` needs room for so many steps at most.

    ``steps``: what is done for as many steps as the streams between layers have room for;
    ``whole_sequence``: that must be all of them. ``kernels``: by part.
    """

    manifest: Manifest
    buffers: tuple[Buffer, ...]
    constants: Mapping[str, NDArray[Any]]
    steps: tuple[LayerRun | KernelStep, ...]
    kernels: Mapping[str, Kernels]
    most_steps: Mapping[str, int]
    whole_sequence: bool

    @property
    def is_network(self) -> bool:
        return BETWEEN in self.kernels

    @property
    def runs(self) -> tuple[LayerRun, ...]:
        return tuple(step for step in self.steps if isinstance(step, LayerRun))

    @property
    def steps_per_launch(self) -> int:
        """The most steps that all layers take in one launch each."""
        return min(run.steps_per_launch for run in self.runs)


def whole(compiled: Compiled) -> Whole:
    """The artifact as one. Raises CompileError E506 for one of target ``sim``, E510 for resets by mask, and
    E511 for several devices."""
    if compiled.manifest.arch is None:
        raise fail(
            "E506",
            f"the artifact is for target {compiled.manifest.target}, which no GPU runs",
            help="compile it with --target sm_90, say, and export that",
        )
    if (devices := compiled.manifest.devices) > 1:
        raise fail(
            "E511",
            f"the artifact is for {devices} devices at once, and exported code launches on one",
            help="compile it with devices = 1, and export that",
        )
    if any(b.role is Role.RESETS for b in compiled.manifest.buffers):
        raise fail(
            "E510",
            f"{compiled.manifest.name} has resets = by_mask, which the C API has no words for",
            help="compile it without, and set the states between runs",
        )
    return _network(compiled) if isinstance(compiled, NetworkArtifact) else _layer(compiled)


def _layer(artifact: Artifact) -> Whole:
    manifest, name = artifact.manifest, artifact.model.layer
    ends = {b.role: b.name for b in manifest.buffers}
    run = LayerRun(
        name,
        name,
        ends.get(Role.INPUT, NOTHING),
        ends[Role.OUTPUT],
        manifest.steps_per_launch,
        launch.chunk_steps(manifest),
    )
    kernels = {name: _kernels(artifact.kernel_source, artifact.cubin)}
    return Whole(manifest, manifest.buffers, artifact.packed, (run,), kernels, {}, False)


def _network(artifact: NetworkArtifact) -> Whole:
    manifest = artifact.manifest
    parts = {name: part.manifest for name, part in artifact.parts.items()}
    program = tuple(flat(artifact.loaded().program))
    steps = tuple(
        _run(step, parts[step.part], manifest) if isinstance(step, Call) else between(step, manifest)
        for step in program
    )
    owned = [(part, b) for part, m in parts.items() for b in m.buffers]
    own = {f"{part}.{b.name}": b for part, b in owned if b.role is Role.CONSTANT}
    works = {
        f"{step.layer}.{b.name}": b
        for step in program
        if isinstance(step, Call)
        for b in parts[step.part].buffers
        if b.role in WORK
    }
    tables = {table_buffer(name): table for name, table in artifact.tables.items()}
    packed = {f"{n}.{b}": array for n, part in artifact.parts.items() for b, array in part.packed.items()}
    kernels = {n: _kernels(part.kernel_source, part.cubin) for n, part in artifact.parts.items()}
    return Whole(
        manifest,
        (*manifest.buffers, *(replace(b, name=name) for name, b in (own | works).items())),
        {**packed, **tables},
        steps,
        {BETWEEN: _kernels(artifact.join_source, artifact.join_cubin), **kernels},
        {
            f"{run.layer}.{b.name}": run.steps_per_launch
            for run in steps
            if isinstance(run, LayerRun)
            for b in parts[run.part].buffers
            if b.role is Role.SCRATCH
        },
        any(isinstance(step, Join) and step.turn for step in program),
    )


def _run(call: Call, part: Manifest, network: Manifest) -> LayerRun:
    names = dict(_names(call, part, network))
    chunk = tuple(_on(step, names) for step in launch.chunk_steps(part))
    return LayerRun(call.layer, call.part, call.source, call.to, part.steps_per_launch, chunk)


def _names(call: Call, part: Manifest, network: Manifest) -> Iterator[tuple[str, str]]:
    """The buffers of a part as those of the network."""
    lengths = next((b.name for b in network.buffers if b.role is Role.LENGTHS), NOTHING)
    ends = {Role.INPUT: call.source, Role.OUTPUT: call.to, Role.LENGTHS: lengths}
    for b in part.buffers:
        if b.role is Role.STATE:
            yield b.name, state_buffer(dict(call.states)[b.state])
        elif b.role in WORK:
            yield b.name, f"{call.layer}.{b.name}"
        else:
            yield b.name, ends.get(b.role, f"{call.part}.{b.name}")


def _on(step: launch.Step, names: Mapping[str, str]) -> launch.Step:
    """``step`` of a part on the buffers of the network."""
    if isinstance(step, launch.FillStep):
        return replace(step, buffer=names[step.buffer])
    moved = (replace(a, buffer=names[a.buffer]) if isinstance(a, Pointer) else a for a in step.arguments)
    return replace(step, arguments=tuple(moved))


def _kernels(source: str, cubin: bytes | None) -> Kernels:
    assert cubin is not None
    return Kernels(source, cubin)
