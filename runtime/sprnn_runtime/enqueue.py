"""The kernels of an artifact on a device, with their constants: what one chunk of steps does there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from sprnn_runtime import inputs, launch
from sprnn_runtime.device_protocol import Device, Memory, Prepared
from sprnn_runtime.loaded import Loaded
from sprnn_runtime.manifest import Buffer, Gemm, Kernel, Role, buffer_and_device
from sprnn_runtime.repeated_chunk import RepeatedChunk, Repeats
from sprnn_runtime.vendor_gemm import as_float32
from sprnn_runtime.work import Work

NULL = np.uint64(0)  # as a kernel argument: no memory


@dataclass(frozen=True, slots=True)
class Call:
    """What one call runs on: memory of the caller's buffers by name, steps, columns, and a wait's budget."""

    memory: Mapping[str, Memory]
    steps: int
    batch: int
    budget_ns: int | None = None


class Launcher:
    """Enqueues chunks. The constants are uploaded once."""

    def __init__(self, loaded: Loaded, device: Device) -> None:
        self.manifest = loaded.manifest
        self.device = device
        self._exact = self.manifest.dtype == "fp32"  # products must be those of fp32
        buffers = loaded.manifest.buffers
        self._by_role = {role: [b for b in buffers if b.role is role] for role in Role}
        self._optional = {b.name for b in buffers if b.role in (Role.LENGTHS, Role.RESETS)}
        self._constants: dict[str, Memory] = {}
        gemms = {k.name: k.gemm for k in self.manifest.kernels if k.gemm}
        self._multiplied = {n for n, g in gemms.items() if device.multiplies(g, exact=self._exact)}
        for buffer in self.buffers(Role.CONSTANT):
            if buffer.split:
                self._constants[buffer.name] = device.deal(loaded.constants[buffer.name])
            else:
                self._upload(buffer.name, loaded.constants[buffer.name])
        for gemm in (gemms[name] for name in sorted(self._multiplied)):
            wide = as_float32(loaded.constants[gemm.weight], self.manifest.dtype, gemm.cols)
            self._upload(_as_wide(gemm), wide)

    def buffers(self, role: Role) -> Sequence[Buffer]:
        return self._by_role[role]

    @cached_property
    def steps(self) -> tuple[launch.Step, ...]:
        """What every chunk does."""
        return launch.chunk_steps(self.manifest)

    @property
    def most_steps(self) -> int:
        """Of a chunk that is one launch."""
        return self.manifest.steps_per_launch

    def work(self, *, keeps_status: bool) -> Work:
        """What the kernels work in, in the order of one stream."""
        return Work(self.manifest, self.device, keeps_status=keeps_status)

    def clear(self) -> None:
        """Forgets the constants."""
        self._constants.clear()

    def run(self, work: Work, call: Call) -> None:
        """All chunks of a call; waits for each, and raises WaitTimeout or DeviceError if it gave up."""
        for first, count in launch.chunks(call.steps, self.manifest.steps_per_launch):
            self.enqueue(work, call, first, count)
            work.check(call.budget_ns, first)

    def enqueue_all(self, work: Work, call: Call) -> None:
        """The same without waiting."""
        for first, count in launch.chunks(call.steps, self.manifest.steps_per_launch):
            self.enqueue(work, call, first, count)

    def reserve_repeated(self, work: Work, steps: int) -> None:
        """Room for ``repeated``."""
        RepeatedChunk.reserve(self, work, steps)

    def repeated(self, work: Work, call: Call, y: Any) -> Repeats:
        """The whole call as one chunk to be run again and again; it writes ``y``."""
        return RepeatedChunk(self, work, call, y)

    def enqueue(self, work: Work, call: Call, first: int, steps: int) -> None:
        """Fills and launches of one chunk, in stream order, without waiting."""
        work.reserve_chunk(steps)
        bound = self.bound(work, call)
        for step in self.steps:
            if isinstance(step, launch.FillStep):
                if not (work.keeps_status and work.is_status(step.buffer)):
                    self.device.fill(bound[step.buffer], step.extent.bytes(steps), step.fill)
                continue
            values = self.values(step, bound, call, first, steps)
            if self._multiplies(step.kernel):
                gemm, factors = self._factors(step.kernel, values)
                self.device.multiply(gemm, *factors, steps * call.batch, exact=self._exact)
            else:
                self.device.launch(step.kernel, values)

    def prepare(self, work: Work, call: Call, steps: int) -> list[tuple[tuple[str, ...], Prepared]]:
        """The launches of a chunk that is a whole call, each with the buffers of its arguments in order."""
        bound = self.bound(work, call)
        prepared: list[tuple[tuple[str, ...], Prepared]] = []
        for step in self.steps:
            if isinstance(step, launch.FillStep):
                continue
            values = self.values(step, bound, call, 0, steps)
            if self._multiplies(step.kernel):
                gemm, factors = self._factors(step.kernel, values)
                product = self.device.prepare_product(gemm, factors, steps * call.batch, exact=self._exact)
                prepared.append((("", gemm.operand, gemm.product), product))
            else:
                names = tuple(buffer_and_device(a)[0] for a in step.kernel.args)
                prepared.append((names, self.device.prepare(step.kernel, values)))
        return prepared

    def bound(self, work: Work, call: Call) -> dict[str, Memory]:
        """All memory that kernels are given, by buffer."""
        return {**self._constants, **call.memory, **work.scratch()}

    def values(
        self, step: launch.KernelStep, bound: Mapping[str, Memory], call: Call, first: int, steps: int
    ) -> list[Any]:
        """What a kernel is given in a chunk of ``steps`` steps: memory handles and NumPy scalars."""
        return [self._value(a, bound, call, first, steps) for a in step.arguments]

    def _multiplies(self, kernel: Kernel) -> bool:
        """Whether the device's library computes what ``kernel`` would."""
        return kernel.name in self._multiplied

    def _factors(self, kernel: Kernel, values: Sequence[Any]) -> tuple[Gemm, tuple[Memory, Memory, Memory]]:
        """The product that a library computes: its weight, operand and result, from the arguments."""
        assert kernel.gemm is not None
        gemm, by_name = kernel.gemm, dict(zip(kernel.args, values, strict=True))
        return gemm, (self._constants[_as_wide(gemm)], by_name[gemm.operand], by_name[gemm.product])

    def _value(
        self, argument: launch.Argument, bound: Mapping[str, Memory], call: Call, first: int, steps: int
    ) -> Any:
        """What a kernel is given for ``argument``: a memory handle or a NumPy scalar."""
        match argument:
            case launch.Pointer(name) if name in self._optional and name not in bound:
                return NULL
            case launch.Pointer(name, 0):
                return bound[name]
            case launch.Pointer(name, step_bytes):
                before = first * (step_bytes // self.manifest.batch * call.batch)
                return self.device.offset(bound[name], before)
            case launch.Steps():
                return np.int32(steps)
            case launch.Batch():
                return np.int32(call.batch)
            case launch.First():
                return np.int32(first)
            case launch.Number(value):
                return np.int32(value)
            case launch.Budget():
                budget = self.device.default_budget_ns if call.budget_ns is None else call.budget_ns
                return np.uint64(budget)
            case _:
                assert_never(argument)

    def _upload(self, name: str, array: NDArray[Any]) -> None:
        self._constants[name] = self.device.allocate(array.nbytes)
        self.device.upload(self._constants[name], array)


def resets_memory(launcher: Launcher, work: Work, resets: Any, batch: int, steps: int) -> dict[str, Memory]:
    """The mask's memory by name, in ``work`` where it comes from the host; nothing where there is none."""
    if resets is None:
        return {}
    manifest, device = launcher.manifest, launcher.device
    buffer = inputs.resets_buffer(manifest)
    if device.accepts(resets):
        return {buffer.name: device.borrow(resets, (steps, batch), "uint8")}
    checked = inputs.checked_resets(resets, manifest, batch, steps)
    place = f"{buffer.name}:given"  # not the buffer's name: the next call may have none
    work.reserve(place, buffer.bytes(steps))
    device.upload(work.memory[place], checked)
    return {buffer.name: work.memory[place]}


def _as_wide(gemm: Gemm) -> str:
    """Where a library's copy of a weight is kept: no buffer's name, which is an identifier."""
    return f"{gemm.weight}:float32"
