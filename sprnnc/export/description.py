"""The launch as JSON: what a program in any language must allocate, fill and launch.

docs/export.md explains every field.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, assert_never

from sprnn_runtime.launch import (
    CALLERS,
    Argument,
    Batch,
    Budget,
    Extent,
    FillStep,
    First,
    KernelStep,
    Number,
    Pointer,
    Step,
    Steps,
    extent,
)
from sprnn_runtime.manifest import DEFAULT_BUDGET_NS, Buffer, Role
from sprnn_runtime.work import BUDGET_SPENT

from sprnnc.export.whole import BETWEEN, LayerRun, Whole

VERSION = (1, 2)


def describe(
    whole: Whole, cubins: Mapping[str, str], constants: Mapping[str, str], files: Mapping[str, bytes]
) -> dict[str, Any]:
    """``cubins`` and ``constants``: by part and by buffer, their paths among ``files``."""
    manifest = whole.manifest
    return {
        "format": "sprnn-launch",
        "version": list(VERSION),
        "compiler": manifest.compiler,
        "name": manifest.name,
        "cell": manifest.cell,
        "dtype": manifest.dtype,
        "arch": manifest.arch,
        "batch": manifest.batch,
        "inputs": [{"name": v.name, "size": v.size} for v in manifest.inputs],
        "states": [{"name": v.name, "size": v.size} for v in manifest.states],
        "output_size": manifest.output_size,
        "steps_per_launch": whole.steps_per_launch,
        "default_budget_ns": DEFAULT_BUDGET_NS,
        **_code(whole, cubins, files),
        "buffers": [_buffer(b, whole, constants, files) for b in whole.buffers],
        **_program(whole, cubins),
        "status": [_status(b) for b in whole.buffers if b.role is Role.STATUS],
    }


def _code(whole: Whole, cubins: Mapping[str, str], files: Mapping[str, bytes]) -> dict[str, Any]:
    described = [_file(path, files) for path in cubins.values()]
    return {"cubins": described} if whole.is_network else {"cubin": described[0]}


def _program(whole: Whole, cubins: Mapping[str, str]) -> dict[str, Any]:
    """A layer alone is one chunk, again and again."""
    if not whole.is_network:
        return {"chunk": [_step(s, None) for s in whole.runs[0].chunk]}
    steps = [
        _run(s, cubins[s.part]) if isinstance(s, LayerRun) else _step(s, cubins[BETWEEN]) for s in whole.steps
    ]
    return {"whole_sequence": whole.whole_sequence, "program": steps}


def _run(run: LayerRun, cubin: str) -> dict[str, Any]:
    return {
        "do": "run",
        "layer": run.layer,
        "steps_per_launch": run.steps_per_launch,
        "chunk": [_step(s, cubin) for s in run.chunk],
    }


def _file(path: str, files: Mapping[str, bytes]) -> dict[str, Any]:
    data = files[path]
    return {"path": path, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _buffer(
    buffer: Buffer, whole: Whole, constants: Mapping[str, str], files: Mapping[str, bytes]
) -> dict[str, Any]:
    known: dict[str, Any] = {
        "name": buffer.name,
        "role": buffer.role.value,
        "owner": "caller" if buffer.role in (*CALLERS, Role.LENGTHS, Role.RESETS) else "model",
        "dtype": buffer.dtype,
        "shape": list(buffer.shape),
        "bytes": _extent(extent(buffer)),
    }
    if buffer.name in whole.most_steps:
        known["most_steps"] = whole.most_steps[buffer.name]
    if buffer.role is Role.CONSTANT:
        known["file"] = _file(constants[buffer.name], files)
    if buffer.role is Role.STATE:
        known["state"] = buffer.state
    return known


def _extent(size: Extent) -> dict[str, int]:
    return {"fixed": size.fixed, "per_step": size.per_step}


def _step(step: Step, cubin: str | None) -> dict[str, Any]:
    """``cubin``: the path of the kernel's, where there are several."""
    match step:
        case FillStep(buffer, fill, size):
            return {"do": "fill", "buffer": buffer, "byte": fill.byte, "bytes": _extent(size)}
        case KernelStep(kernel, arguments):
            return {
                "do": "launch",
                **({"cubin": cubin} if cubin else {}),
                "kernel": kernel.name,
                "cooperative": kernel.cooperative,
                "grid": [kernel.grid, 1, 1],
                "block": [kernel.block, 1, 1],
                "shared_bytes": kernel.shared_bytes,
                "arguments": [_argument(a) for a in arguments],
            }
        case _:
            assert_never(step)


def _argument(argument: Argument) -> dict[str, Any]:
    match argument:
        case Pointer(buffer, step_bytes):
            return {"type": "pointer", "buffer": buffer or None, "step_bytes": step_bytes}
        case Steps():
            return {"type": "int32", "value": "steps"}
        case Budget():
            return {"type": "uint64", "value": "budget_ns"}
        case Batch():
            return {"type": "int32", "value": "batch"}
        case First():
            return {"type": "int32", "value": "first"}
        case Number(value):
            return {"type": "int32", "value": value}
        case _:
            assert_never(argument)


def _status(buffer: Buffer) -> dict[str, Any]:
    return {
        "buffer": buffer.name,
        "words": ["code", "block", "step", "phase"],
        "codes": {"0": "all went well", str(BUDGET_SPENT): "a wait inside the kernel spent its budget"},
    }
