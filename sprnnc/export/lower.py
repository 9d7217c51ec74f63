"""Whole -> export model: ``sprnn_runtime.launch`` says what a chunk does, and here it becomes C."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
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
    Number,
    Pointer,
    Steps,
    extent,
)
from sprnn_runtime.manifest import DEFAULT_BUDGET_NS, Buffer, Fill, Kernel, Manifest, Role
from sprnn_runtime.program import stream_size
from sprnn_runtime.work import BUDGET_SPENT

from sprnnc.export.kernels import kernel_text, namespace_of
from sprnnc.export.model import (
    ChunkFunction,
    ErrorCode,
    ExportModel,
    FillCall,
    KernelPart,
    LaunchCall,
    ModulePart,
    RunCall,
    StatePart,
    StatusPart,
    WeightPart,
    WorkPart,
)
from sprnnc.export.names import fields, identifiers
from sprnnc.export.weights import ALIGNMENT, Blob, as_words
from sprnnc.export.whole import BETWEEN, NOTHING, LayerRun, Whole

LAUNCHES = 256
"""Launches of a layer that may be pending: the status of each is kept apart."""

_MOST_LAYERS = 8  # that have so many each; more layers share what these have

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
_TOO_LONG = ErrorCode("TOO_LONG", 12, "the sequence is longer than the model has room for")
_CTYPES = {"float32": "float", "uint32": "unsigned", "int32": "int", "float16": "unsigned short"}
_WORD = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_BUFFER = re.compile(r"[\w.:$]+", re.ASCII)
_TEXT = re.compile(r"[\w., +-]*", re.ASCII)


def lower_to_export(whole: Whole, blob: Blob, *, embed: bool) -> ExportModel:
    """What the templates print. Raises ArtifactError E603 for names that C cannot take."""
    manifest = whole.manifest
    assert manifest.arch is not None
    _check_words(whole)
    lowering = _Lowering(whole, fields(whole))
    chunks = tuple(map(lowering.chunk, whole.runs))
    program = tuple(map(lowering.program_step, whole.steps)) if whole.is_network else ()
    reporting = [run.steps_per_launch for run, c in zip(whole.runs, chunks, strict=True) if c.status]
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
        steps_per_launch=whole.steps_per_launch,
        launches=LAUNCHES * min(max(len(reporting), 1), _MOST_LAYERS),
        budget_ns=DEFAULT_BUDGET_NS,
        budget_spent=BUDGET_SPENT,
        alignment=ALIGNMENT,
        kernel_source=kernel_text(whole),
        weights_file=f"{manifest.name}.weights",
        weight_bytes=len(blob.data),
        weight_checksum=blob.checksum,
        embedded=as_words(blob.data) if embed else (),
        errors=(*_ERRORS, _TOO_LONG) if whole.whole_sequence else _ERRORS,
        states=tuple(lowering.states()),
        weights=tuple(lowering.weight(b, blob) for b in whole.buffers if b.role is Role.CONSTANT),
        work=tuple(lowering.work(b) for b in whole.buffers if b.role in WORK or b.role is Role.STATE),
        status=lowering.status(),
        lengths=tuple(lowering.names[b.name] for b in whole.buffers if b.role is Role.LENGTHS),
        kernels=tuple(lowering.kernels.values()),
        modules=tuple(ModulePart(module_field(p, whole), cubin_path(p, whole)) for p in whole.kernels),
        chunks=chunks,
        program=program,
        whole_sequence=whole.whole_sequence,
        longest=tuple(reporting),
    )


def cubin_path(part: str, whole: Whole) -> str:
    """Where form ``cubin`` has a part's machine code."""
    return f"{part or 'between'}.cubin" if whole.is_network else f"{whole.manifest.name}.cubin"


def module_field(part: str, whole: Whole) -> str:
    return f"module_{namespace_of(part)}" if whole.is_network else "module"


def _check_words(whole: Whole) -> None:
    """Raises ArtifactError E603 for names that would not be what they seem inside C."""
    manifest = whole.manifest
    words = [manifest.name, *(v.name for v in manifest.inputs)]
    words += [name for run in whole.runs for name in (run.layer, run.part)]
    names = [*(b.name for b in whole.buffers), *(s.name for s in manifest.states)]
    wrong = [w for w in words if not _WORD.fullmatch(w)]
    wrong += [n for n in names if not (_BUFFER if whole.is_network else _WORD).fullmatch(n)]
    wrong += [t for t in (manifest.compiler, manifest.cell, manifest.dtype) if not _TEXT.fullmatch(t)]
    wrong += [] if re.fullmatch(r"sm_\d+[af]?", manifest.arch or "") else [str(manifest.arch)]
    if wrong:
        raise container.damaged("the artifact", f"{wrong[0]!r} is not a name that C can take")


@dataclass
class _Lowering:
    """``names``: in C, by buffer. ``kernels``: all that are launched, in the order of their first launch."""

    whole: Whole
    names: Mapping[str, str]
    kernels: dict[tuple[str, str], KernelPart] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.buffers: dict[str, Buffer] = {b.name: b for b in self.whole.buffers}
        runs = self.whole.runs
        self.functions = identifiers(["run_chunk", "run_layer", *(f"run_{run.layer}" for run in runs)])

    @property
    def manifest(self) -> Manifest:
        return self.whole.manifest

    # ---- buffers

    def weight(self, buffer: Buffer, blob: Blob) -> WeightPart:
        name, ctype = self.names[buffer.name], f"const {_ctype(buffer)}"
        return WeightPart(name, ctype, blob.offsets[buffer.name], buffer.bytes(0), _shape(buffer))

    def work(self, buffer: Buffer) -> WorkPart:
        name, most = self.names[buffer.name], self.whole.most_steps.get(buffer.name)
        size = _size(extent(buffer), "steps" if most is None else f"at_most(steps, {most})")
        return WorkPart(name, _ctype(buffer), size, _shape(buffer), buffer.role is Role.STATUS)

    def states(self) -> Iterable[StatePart]:
        buffers = [b for b in self.whole.buffers if b.role is Role.STATE]
        words = identifiers(b.state for b in buffers)
        for b in buffers:
            values, word = b.bytes(0) // 4, words[b.state]
            named = f"{b.state}, " if word != b.state else ""
            comment = f"{named}size {values // self.manifest.batch}"
            yield StatePart(word, self.names[b.name], values, b.bytes(0), comment)

    def status(self) -> StatusPart | None:
        """Of all launches: those of several layers are alike."""
        every = [b for b in self.whole.buffers if b.role is Role.STATUS]
        if not every:
            return None
        (shape,) = {b.shape for b in every}
        return StatusPart("status", _ctype(every[0]), int(shape[0]), f"{_shape(every[0])} for each launch")

    # ---- what is done

    def chunk(self, run: LayerRun) -> ChunkFunction:
        launches = tuple(
            self._launch(s, run.part, (run.source, run.to)) for s in run.chunk if isinstance(s, KernelStep)
        )
        fills = [s for s in run.chunk if isinstance(s, FillStep)]
        used = {a for launch in launches for a in launch.arguments}
        statuses = (s.buffer for s in fills if self.buffers[s.buffer].role is Role.STATUS)
        return ChunkFunction(
            name=self.functions[f"run_{run.layer}"] if self.whole.is_network else "run_chunk",
            layer=run.layer if self.whole.is_network else "",
            status=next((self.names[s] for s in statuses), ""),
            unused=tuple(n for n in ("x", "y") if f"&{n}" not in used),
            takes_nothing="&nothing" in used,
            fills=tuple(self._fill(s) for s in fills),
            launches=launches,
        )

    def program_step(self, step: LayerRun | KernelStep) -> LaunchCall | RunCall:
        callers = tuple(b.name for role in CALLERS for b in self.whole.buffers if b.role is role)
        if isinstance(step, KernelStep):
            return self._launch(step, BETWEEN, callers)
        x_step, y_step = (self.manifest.batch * stream_size(self.manifest, n) for n in (step.source, step.to))
        source, to = (self._place(name, callers) for name in (step.source, step.to))
        shared = f", with the weights of {step.part}" if step.part != step.layer else ""
        function, comment = self.functions[f"run_{step.layer}"], f"layer {step.layer}{shared}"
        return RunCall(function, step.steps_per_launch, x_step, y_step, source, to, comment)

    def _fill(self, step: FillStep) -> FillCall:
        comment = "nothing is published yet" if step.fill is Fill.ONES else "begins at zero"
        place = self._place(step.buffer, ())
        return FillCall(place, f"0x{step.fill.byte:02X}", _size(step.extent, "steps"), comment)

    def _launch(self, step: KernelStep, part: str, callers: Sequence[str]) -> LaunchCall:
        kernel = self._kernel(step.kernel, part)
        numbers = tuple(a.value for a in step.arguments if isinstance(a, Number))
        at = iter(range(len(numbers)))
        arguments = tuple(
            f"&numbers[{next(at)}]" if isinstance(a, Number) else f"&{self._argument(a, callers)}"
            for a in step.arguments
        )
        call = "launch_together" if step.kernel.cooperative else "launch"
        return LaunchCall(call, kernel, arguments, numbers, _what(step) if part == BETWEEN else "")

    def _kernel(self, kernel: Kernel, part: str) -> KernelPart:
        where = f"{namespace_of(part)}::" if self.whole.is_network else ""
        at = f"{namespace_of(part)}_" if self.whole.is_network else ""
        return self.kernels.setdefault(
            (part, kernel.name),
            KernelPart(
                kernel=where + kernel.name,
                name=kernel.name,
                field=at + kernel.name,
                module=module_field(part, self.whole),
                grid=kernel.grid,
                block=kernel.block,
                shared_bytes=kernel.shared_bytes,
                together=str(kernel.cooperative).lower(),
            ),
        )

    def _argument(self, argument: Argument, callers: Sequence[str]) -> str:
        match argument:
            case Pointer(name):
                return "nothing" if name == NOTHING else self._place(name, callers)
            case Steps():
                return "steps"
            case Budget():
                return "m->budget_ns"
            case Batch():
                return "batch"
            case First():
                return "first"
            case Number(value):
                return str(value)
            case _:
                assert_never(argument)

    def _place(self, name: str, callers: Sequence[str]) -> str:
        """C for the address of a buffer, within a function whose x and y are ``callers``."""
        if name in callers:
            return "xy"[callers.index(name)]
        return "status" if self.buffers[name].role is Role.STATUS else f"m->{self.names[name]}"


def _what(step: KernelStep) -> str:
    """A step between layers in the words of a reader."""
    pointers = [a.buffer for a in step.arguments if isinstance(a, Pointer)]
    numbers = [a.value for a in step.arguments if isinstance(a, Number)]
    if step.kernel.name == "look_up":
        source, table, to = pointers
        return f"{to} = rows of {table} by {source}"
    (source, to, *_), (first, turn, add) = pointers, numbers[-3:]
    return f"{to}[{first}:] {'+=' if add else '='} {source}{' turned around' if turn else ''}"


def _size(size: Extent, steps: str) -> str:
    if not size.per_step:
        return f"(size_t){size.fixed}"
    moving = f"(size_t){steps} * {size.per_step}"
    return f"{size.fixed} + {moving}" if size.fixed else moving


def _ctype(buffer: Buffer) -> str:
    return _CTYPES.get(buffer.dtype, "unsigned char")


def _shape(buffer: Buffer) -> str:
    return f"{buffer.dtype} [{', '.join(map(str, buffer.shape))}]"
