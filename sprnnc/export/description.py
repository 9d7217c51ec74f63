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
    Pointer,
    Step,
    Steps,
    chunk_steps,
    extent,
)
from sprnn_runtime.manifest import DEFAULT_BUDGET_NS, Buffer, Manifest, Role
from sprnn_runtime.work import BUDGET_SPENT

VERSION = (1, 1)


def describe(manifest: Manifest, cubin: str, files: Mapping[str, bytes]) -> dict[str, Any]:
    """``cubin``: its path among ``files``, where constants are ``constants/NAME.bin``."""
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
        "steps_per_launch": manifest.steps_per_launch,
        "default_budget_ns": DEFAULT_BUDGET_NS,
        "cubin": _file(cubin, files),
        "buffers": [_buffer(b, files) for b in manifest.buffers],
        "chunk": [_step(s) for s in chunk_steps(manifest)],
        "status": [_status(b) for b in manifest.buffers if b.role is Role.STATUS],
    }


def _file(path: str, files: Mapping[str, bytes]) -> dict[str, Any]:
    data = files[path]
    return {"path": path, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _buffer(buffer: Buffer, files: Mapping[str, bytes]) -> dict[str, Any]:
    known = {
        "name": buffer.name,
        "role": buffer.role.value,
        "owner": "caller" if buffer.role in (*CALLERS, Role.LENGTHS) else "model",
        "dtype": buffer.dtype,
        "shape": list(buffer.shape),
        "bytes": _extent(extent(buffer)),
    }
    if buffer.role is Role.CONSTANT:
        known["file"] = _file(f"constants/{buffer.name}.bin", files)
    if buffer.role is Role.STATE:
        known["state"] = buffer.state
    return known


def _extent(size: Extent) -> dict[str, int]:
    return {"fixed": size.fixed, "per_step": size.per_step}


def _step(step: Step) -> dict[str, Any]:
    match step:
        case FillStep(buffer, fill, size):
            return {"do": "fill", "buffer": buffer, "byte": fill.byte, "bytes": _extent(size)}
        case KernelStep(kernel, arguments):
            return {
                "do": "launch",
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
            return {"type": "pointer", "buffer": buffer, "step_bytes": step_bytes}
        case Steps():
            return {"type": "int32", "value": "steps"}
        case Budget():
            return {"type": "uint64", "value": "budget_ns"}
        case Batch():
            return {"type": "int32", "value": "batch"}
        case First():
            return {"type": "int32", "value": "first"}
        case _:
            assert_never(argument)


def _status(buffer: Buffer) -> dict[str, Any]:
    return {
        "buffer": buffer.name,
        "words": ["code", "block", "step", "phase"],
        "codes": {"0": "all went well", str(BUDGET_SPENT): "a wait inside the kernel spent its budget"},
    }
