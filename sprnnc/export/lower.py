"""Artifact -> export model: ``sprnn_runtime.launch`` says what a chunk does, and here it becomes C."""

from __future__ import annotations

import re
from typing import assert_never

from sprnn_runtime import container
from sprnn_runtime.launch import (
    CALLERS,
    WORK,
    Argument,
    Batch,
    Budget,
    Extent,
    FillStep,
    First,
    KernelStep,
    Pointer,
    Steps,
    chunk_steps,
    extent,
)
from sprnn_runtime.manifest import DEFAULT_BUDGET_NS, Buffer, Fill, Manifest, Role
from sprnn_runtime.work import BUDGET_SPENT

from sprnnc.artifact import Artifact
from sprnnc.diagnostics import fail
from sprnnc.export.model import (
    ErrorCode,
    ExportModel,
    FillCall,
    LaunchCall,
    StatePart,
    StatusPart,
    WeightPart,
    WorkPart,
)
from sprnnc.export.weights import ALIGNMENT, Blob, as_words

LAUNCHES = 256
"""Launches that may be pending: the status of each is kept apart."""

_ERRORS = (
    ErrorCode("OK", 0, "all went well"),
    ErrorCode("BAD_ARGUMENT", 1, "an argument is NULL or out of range"),
    ErrorCode("NO_WEIGHTS", 2, "the file of the weights cannot be opened"),
    ErrorCode("DAMAGED_WEIGHTS", 3, "the weights are not those that were exported with this source"),
    ErrorCode("WRONG_DEVICE", 4, "the current device is not one that this model can run on"),
    ErrorCode("NOT_RESIDENT", 5, "the device cannot hold all blocks of a kernel at once"),
    ErrorCode("OUT_OF_MEMORY", 6, "there is not enough memory"),
    ErrorCode("CUDA_FAILED", 7, "a call of CUDA failed"),
    ErrorCode(
        "WAITED_TOO_LONG", 8, "a wait inside a kernel spent its budget: other work kept blocks off the GPU"
    ),
    ErrorCode("KERNEL_FAILED", 9, "a kernel reported a status that is not known"),
    ErrorCode("BUSY", 10, "too many launches are pending"),
    ErrorCode("STATES_LOST", 11, "the states are not valid since a run failed: set all of them"),
)
_CTYPES = {"float32": "float", "uint32": "unsigned", "int32": "int", "float16": "unsigned short"}
_WORD = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_TEXT = re.compile(r"[\w.+ -]*", re.ASCII)
_ENTRY = 'extern "C" __global__'


def lower_to_export(artifact: Artifact, blob: Blob, *, embed: bool) -> ExportModel:
    """What the templates print. Raises CompileError E506 for an artifact of target ``sim``, E510 for one
    without states, which the C API has no words for, and E511 for one of several devices."""
    manifest = artifact.manifest
    if manifest.arch is None:
        raise fail(
            "E506",
            f"the artifact is for target {manifest.target}, which no GPU runs",
            help="compile it with --target sm_90, say, and export that",
        )
    if manifest.devices > 1:
        raise fail(
            "E511",
            f"the artifact is for {manifest.devices} devices at once, and exported code launches on one",
            help="compile it with devices = 1, and export that",
        )
    if not manifest.states:
        raise fail(
            "E510",
            f"{manifest.name} has no states, and is not exported for now",
            help="a dense layer is one call of a library: cublasLtMatmul, say",
        )
    _check_words(manifest)
    steps = chunk_steps(manifest)
    launches = tuple(_launch(s, manifest) for s in steps if isinstance(s, KernelStep))
    return ExportModel(
        name=manifest.name,
        title=f"{manifest.cell}, {manifest.dtype}, batch {manifest.batch}",
        compiler=manifest.compiler,
        arch=manifest.arch,
        cmake_arch=manifest.arch.removeprefix("sm_"),
        batch=manifest.batch,
        inputs=", then ".join(f"{v.name}[{v.size}]" for v in manifest.inputs),
        input_size=manifest.input_size,
        output_size=manifest.output_size,
        x_step=manifest.batch * manifest.input_size,
        y_step=manifest.batch * manifest.output_size,
        steps_per_launch=manifest.steps_per_launch,
        launches=LAUNCHES,
        budget_ns=DEFAULT_BUDGET_NS,
        budget_spent=BUDGET_SPENT,
        alignment=ALIGNMENT,
        kernel_source=_with_internal_kernels(artifact),
        main_kernel=manifest.kernels[-1].name,
        weights_file=f"{manifest.name}.weights",
        weight_bytes=len(blob.data),
        weight_checksum=blob.checksum,
        embedded=as_words(blob.data) if embed else (),
        errors=_ERRORS,
        states=tuple(_state(b, manifest) for b in manifest.buffers if b.role is Role.STATE),
        weights=tuple(_weight(b, blob) for b in manifest.buffers if b.role is Role.CONSTANT),
        work=tuple(_work(b) for b in manifest.buffers if b.role in WORK or b.role is Role.STATE),
        status=_status(manifest),
        unused=tuple(n for n in ("x", "y") if not any(f"&{n}" in k.arguments for k in launches)),
        lengths=tuple(b.name for b in manifest.buffers if b.role is Role.LENGTHS),
        fills=tuple(_fill(s, manifest) for s in steps if isinstance(s, FillStep)),
        launches_of_chunk=launches,
    )


def _with_internal_kernels(artifact: Artifact) -> str:
    """The kernels with internal linkage, so that several exports link into one program."""
    return artifact.kernel_source.replace(_ENTRY, "static __global__")


def _check_words(manifest: Manifest) -> None:
    """Raises ArtifactError E603 for names that would not be what they seem inside C."""
    words = [manifest.name, *(b.name for b in manifest.buffers), *(s.name for s in manifest.states)]
    wrong = [w for w in words if not _WORD.fullmatch(w)]
    wrong += [t for t in (manifest.compiler, manifest.cell, manifest.dtype) if not _TEXT.fullmatch(t)]
    wrong += [v.name for v in manifest.inputs if not _WORD.fullmatch(v.name)]
    wrong += [] if re.fullmatch(r"sm_\d+[af]?", manifest.arch or "") else [str(manifest.arch)]
    if wrong:
        raise container.damaged("the artifact", f"{wrong[0]!r} is not a name that C can take")


def _weight(buffer: Buffer, blob: Blob) -> WeightPart:
    return WeightPart(
        buffer.name, f"const {_ctype(buffer)}", blob.offsets[buffer.name], buffer.bytes(0), _shape(buffer)
    )


def _work(buffer: Buffer) -> WorkPart:
    size = _size(extent(buffer))
    if buffer.role is Role.STATUS:
        return WorkPart(
            buffer.name, _ctype(buffer), f"{size} * {LAUNCHES}", f"{_shape(buffer)} for each launch"
        )
    return WorkPart(buffer.name, _ctype(buffer), size, _shape(buffer))


def _state(buffer: Buffer, manifest: Manifest) -> StatePart:
    values = buffer.bytes(0) // 4
    return StatePart(buffer.state, buffer.name, values // manifest.batch, values, buffer.bytes(0))


def _status(manifest: Manifest) -> StatusPart | None:
    for buffer in manifest.buffers:
        if buffer.role is Role.STATUS:
            return StatusPart(buffer.name, _ctype(buffer), buffer.bytes(0) // 4)
    return None


def _fill(step: FillStep, manifest: Manifest) -> FillCall:
    comment = "nothing is published yet" if step.fill is Fill.ONES else "begins at zero"
    return FillCall(_place(step.buffer, manifest), f"0x{step.fill.byte:02X}", _size(step.extent), comment)


def _launch(step: KernelStep, manifest: Manifest) -> LaunchCall:
    kernel = step.kernel
    return LaunchCall(
        call="launch_together" if kernel.cooperative else "launch",
        kernel=kernel.name,
        grid=kernel.grid,
        block=kernel.block,
        shared_bytes=kernel.shared_bytes,
        together=str(kernel.cooperative).lower(),
        arguments=tuple(f"&{_argument(a, manifest)}" for a in step.arguments),
    )


def _argument(argument: Argument, manifest: Manifest) -> str:
    match argument:
        case Pointer(buffer):
            return _place(buffer, manifest)
        case Steps():
            return "steps"
        case Budget():
            return "m->budget_ns"
        case Batch():
            return "batch"
        case First():
            return "first"
        case _:
            assert_never(argument)


def _place(name: str, manifest: Manifest) -> str:
    """C for the address of a buffer within ``run_chunk``."""
    buffer = next(b for b in manifest.buffers if b.name == name)
    if buffer.role in CALLERS:
        return "x" if buffer.role is Role.INPUT else "y"
    return "status" if buffer.role is Role.STATUS else f"m->{name}"


def _size(size: Extent) -> str:
    if not size.per_step:
        return f"(size_t){size.fixed}"
    moving = f"(size_t)steps * {size.per_step}"
    return f"{size.fixed} + {moving}" if size.fixed else moving


def _ctype(buffer: Buffer) -> str:
    return _CTYPES.get(buffer.dtype, "unsigned char")


def _shape(buffer: Buffer) -> str:
    return f"{buffer.dtype} [{', '.join(map(str, buffer.shape))}]"
