"""Device memory that kernels work in: one Work for everything that runs in the order of one stream."""

from __future__ import annotations

import numpy as np

from sprnn_runtime import launch
from sprnn_runtime.device_protocol import Device, Memory
from sprnn_runtime.errors import DeviceError, WaitTimeout
from sprnn_runtime.manifest import Fill, Manifest, Role

BUDGET_SPENT = 1


class Work:
    """Scratch and status of one stream.

    ``keeps_status``: what a launch reports stays until somebody checks, and is not cleared by the next one.
    ``unchecked``: launches may have failed that nobody asked about. ``moves``: how often memory was replaced.
    """

    def __init__(self, manifest: Manifest, device: Device, *, keeps_status: bool) -> None:
        self.memory: dict[str, Memory] = {}
        self.keeps_status = keeps_status
        self.unchecked = False
        self.moves = 0
        self._device = device
        self._capacity: dict[str, int] = {}
        self._buffers = [b for b in manifest.buffers if b.role in launch.WORK]
        self._status = next((b for b in self._buffers if b.role is Role.STATUS), None)

    def reserve_chunk(self, steps: int) -> None:
        """Room for a launch of ``steps`` steps."""
        for name, size_bytes in self.sizes(steps).items():
            self.reserve(name, size_bytes)

    def sizes(self, steps: int) -> dict[str, int]:
        """Bytes of everything that a launch of ``steps`` steps works in."""
        return {b.name: b.bytes(steps) for b in self._buffers}

    def reserve(self, name: str, size_bytes: int) -> None:
        """Memory of at least ``size_bytes`` under ``name``; it grows and is kept."""
        if self._capacity.get(name, 0) < size_bytes:
            self.memory[name] = self._device.allocate(size_bytes)
            self._capacity[name] = size_bytes
            self.moves += 1
            if self.keeps_status and self.is_status(name):
                self._device.fill(self.memory[name], size_bytes, Fill.ZEROS)

    def clear(self) -> None:
        """Gives everything back; this is not used afterwards."""
        self.memory.clear()

    def scratch(self) -> dict[str, Memory]:
        """What the kernels work in, by buffer."""
        return {b.name: self.memory[b.name] for b in self._buffers}

    def is_status(self, name: str) -> bool:
        return self._status is not None and name == self._status.name

    def check(self, budget_ns: int | None, first: int = 0) -> None:
        """Waits, and raises WaitTimeout or DeviceError if a launch gave up since the last check.

        ``first``: the step of the sequence at which the launch began; kernels count from there.
        """
        self.unchecked = False
        if self._status is None or self._status.name not in self.memory:
            return
        status = np.empty(self._status.dims(0), np.uint32)
        self._device.download(self.memory[self._status.name], status)
        code, block, step, phase = (int(v) for v in status[:4])
        if not code:
            return
        self._device.fill(self.memory[self._status.name], status.nbytes, Fill.ZEROS)
        if code == BUDGET_SPENT:
            budget = self._device.default_budget_ns if budget_ns is None else budget_ns
            raise WaitTimeout(block, first + step, phase, budget)
        raise DeviceError("E621", f"the kernel reported status {code} in block {block}, step {first + step}")
