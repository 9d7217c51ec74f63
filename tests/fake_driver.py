"""A CUDA driver that does nothing but write down the fills and launches that ``CudaDevice`` asks for."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np


class Anything:
    """A namespace of constants, each its own name."""

    def __getattr__(self, name: str) -> str:
        return name


class FakeDriver:
    """``lines``: what was asked for, as ``fake_cuda`` writes it. Downloads are zeros."""

    CUdevice_attribute = CUfunction_attribute = CUstream_flags = CUevent_flags = Anything()

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._next = 1 << 20

    def __getattr__(self, name: str) -> Callable[..., tuple[int, Any]]:
        return lambda *args: (0, 1)

    def cuDeviceGetName(self, *_: Any) -> tuple[int, bytes]:
        return 0, b"fake\0"

    def cuDeviceGetAttribute(self, name: str, _: Any) -> tuple[int, int]:
        known = {"COMPUTE_CAPABILITY_MAJOR": 9, "COMPUTE_CAPABILITY_MINOR": 0, "MULTIPROCESSOR_COUNT": 132}
        return 0, known[name.removeprefix("CU_DEVICE_ATTRIBUTE_")]

    def cuMemAlloc(self, size: int) -> tuple[int, int]:
        self._next += -(-size // 256) * 256
        return 0, self._next - -(-size // 256) * 256

    def cuMemcpyDtoHAsync(self, to: int, _: int, size: int, __: Any) -> tuple[int]:
        ctypes.memset(to, 0, size)
        return (0,)

    def cuMemcpyHtoDAsync(self, *_: Any) -> tuple[int]:
        return (0,)

    cuMemFree = cuCtxSetCurrent = cuCtxPushCurrent = cuFuncSetAttribute = cuMemcpyHtoDAsync
    cuStreamSynchronize = cuModuleUnload = cuStreamDestroy = cuMemcpyHtoDAsync

    def cuMemsetD8Async(self, pointer: int, byte: int, size: int, _: Any) -> tuple[int]:
        self.lines.append(f"fill {pointer} {byte} {size}")
        return (0,)

    def cuLaunchKernel(self, *args: Any) -> tuple[int]:
        return self._launch("launch", *args[:-1])

    def cuLaunchCooperativeKernel(self, *args: Any) -> tuple[int]:
        return self._launch("together", *args)

    def _launch(self, call: str, *args: Any) -> tuple[int]:
        _, grid, _, _, block, _, _, shared, _, (values, kinds) = args
        words = [f"{ctypes.sizeof(kind)}:{int(np.uint64(v))}" for v, kind in zip(values, kinds, strict=True)]
        self.lines.append(f"{call} {grid} {block} {shared} {' '.join(words)}")
        return (0,)
