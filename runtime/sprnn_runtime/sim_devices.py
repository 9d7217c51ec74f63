"""Several devices of one host, simulated: each has memory of its own, and their grids run side by side.

A memory handle is a tuple of arrays, one for each device. docs/devices.md says what a host of GPUs must do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sprnn_runtime.device_protocol import Memory
from sprnn_runtime.errors import Unavailable
from sprnn_runtime.manifest import Fill, Kernel, Manifest, buffer_and_device
from sprnn_runtime.sim import DEADLOCK_ROUNDS
from sprnn_runtime.sim_device import SimDevice


class SimDevices(SimDevice):
    """``manifest.devices`` devices that reach each other's memory."""

    def __init__(
        self, source: str, manifest: Manifest, seed: int = 0, deadlock_rounds: int = DEADLOCK_ROUNDS
    ) -> None:
        super().__init__(source, manifest.kernels, seed, deadlock_rounds)
        self._count = manifest.devices

    def allocate(self, size_bytes: int) -> Memory:
        return tuple(super(SimDevices, self).allocate(size_bytes) for _ in range(self._count))

    def fill(self, memory: Memory, size_bytes: int, fill: Fill) -> None:
        for own in memory:
            super().fill(own, size_bytes, fill)

    def upload(self, memory: Memory, array: NDArray[Any]) -> None:
        for own in memory:
            super().upload(own, array)

    def deal(self, array: NDArray[Any]) -> Memory:
        parts = np.split(array, self._count)
        memory = self.allocate(parts[0].nbytes)
        for own, part in zip(memory, parts, strict=True):
            super().upload(own, part)
        return memory

    def download(self, memory: Memory, array: NDArray[Any]) -> None:
        super().download(memory[0], array)

    def lend(self, memory: Memory, shape: tuple[int, ...]) -> NDArray[np.float32]:
        return super().lend(memory[0], shape)

    def offset(self, memory: Memory, offset_bytes: int) -> Memory:
        return tuple(super(SimDevices, self).offset(own, offset_bytes) for own in memory)

    def launch(self, kernel: Kernel, args: Sequence[Any], beside: Sequence[Sequence[Any]] = ()) -> None:
        """On every device, at once."""
        first, *others = (_arguments(kernel, args, device) for device in range(self._count))
        super().launch(kernel, first, [*beside, *others])


def _arguments(kernel: Kernel, args: Sequence[Any], device: int) -> list[Any]:
    """Of memory, ``kernel`` is given the device's own, or that of the one which the manifest names."""
    given = []
    for name, arg in zip(kernel.args, args, strict=True):
        of = buffer_and_device(name)[1]
        given.append(arg[device if of is None else of] if isinstance(arg, tuple) else arg)
    return given


def open_devices(name: str, source: str, manifest: Manifest, seed: int) -> SimDevices:
    """The devices that ``manifest`` asks for. Raises Unavailable E624 where ``name`` is not ``sim``."""
    if name != "sim":
        raise Unavailable(
            "E624",
            f"the artifact is for {manifest.devices} devices at once, which run on device sim only so far",
            "use device='sim' (--device sim), or compile with devices = 1",
        )
    return SimDevices(source, manifest, seed)
