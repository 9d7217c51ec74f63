"""What one call does on a device, in order: the one description that ``Layer`` and exported C code follow.

A sequence runs in chunks of at most ``steps_per_launch`` steps. Every chunk is the same list of steps:
fills first, in the order of the manifest's buffers, then its kernels in their order. Nothing here
touches a device.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sprnn_runtime.manifest import (
    BATCH,
    BUDGET,
    FIRST,
    STEPS,
    Buffer,
    Fill,
    Kernel,
    Manifest,
    Role,
    buffer_and_device,
)

CALLERS = (Role.INPUT, Role.OUTPUT)
"""Buffers of a whole sequence, which the caller owns; a chunk begins at its first step."""

WORK = (Role.SCRATCH, Role.STATUS)
"""Buffers of one chunk, which nobody but its kernels (and, of the status, the host) reads."""


@dataclass(frozen=True, slots=True)
class Extent:
    """Bytes of a buffer for a chunk of n steps: ``fixed + n * per_step``."""

    fixed: int
    per_step: int

    def bytes(self, steps: int) -> int:
        return self.fixed + steps * self.per_step


@dataclass(frozen=True, slots=True)
class FillStep:
    """Sets the first ``extent`` bytes of ``buffer`` to ``fill``."""

    buffer: str
    fill: Fill
    extent: Extent


@dataclass(frozen=True, slots=True)
class Pointer:
    """A kernel argument: the address of ``buffer``, plus ``step_bytes`` for every step before the chunk.

    ``step_bytes`` are those of the compiled batch. A buffer of lengths or resets may be a null pointer.
    """

    buffer: str
    step_bytes: int


@dataclass(frozen=True, slots=True)
class Steps:
    """A kernel argument: the steps of this chunk, int32."""


@dataclass(frozen=True, slots=True)
class Budget:
    """A kernel argument: the nanoseconds that one wait may take, uint64."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A kernel argument: the batch columns of this call, int32; the compiled batch is the most."""


@dataclass(frozen=True, slots=True)
class First:
    """A kernel argument: the steps of the sequence before this chunk, int32."""


@dataclass(frozen=True, slots=True)
class Number:
    """A kernel argument that never changes, int32."""

    value: int


Argument = Pointer | Steps | Budget | Batch | First | Number
_NUMBERS: dict[str, Argument] = {STEPS: Steps(), BUDGET: Budget(), BATCH: Batch(), FIRST: First()}


@dataclass(frozen=True, slots=True)
class KernelStep:
    """Launches ``kernel`` with ``arguments``."""

    kernel: Kernel
    arguments: tuple[Argument, ...]


Step = FillStep | KernelStep


def chunk_steps(manifest: Manifest) -> tuple[Step, ...]:
    """What every chunk does, in stream order."""
    fills = [
        FillStep(b.name, b.fill, extent(b)) for b in manifest.buffers if b.role in WORK and b.fill is not None
    ]
    by_name = {b.name: b for b in manifest.buffers}
    kernels = [KernelStep(k, tuple(_argument(a, by_name) for a in k.args)) for k in manifest.kernels]
    return (*fills, *kernels)


def chunks(steps: int, longest: int) -> Iterator[tuple[int, int]]:
    """First step and number of steps of every chunk of a sequence."""
    for first in range(0, steps, longest):
        yield first, min(longest, steps - first)


def extent(buffer: Buffer) -> Extent:
    """How many bytes ``buffer`` takes, by the steps of a chunk."""
    fixed = buffer.bytes(0)
    return Extent(fixed, buffer.bytes(1) - fixed)


def _argument(name: str, buffers: dict[str, Buffer]) -> Argument:
    if name in _NUMBERS:
        return _NUMBERS[name]
    buffer = buffers[buffer_and_device(name)[0]]
    return Pointer(buffer.name, buffer.bytes(1) if buffer.role in (*CALLERS, Role.RESETS) else 0)
