"""A CUDA driver that does nothing but write down its calls, and arrays that seem to lie on its GPU."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import sprnn_runtime.cuda_device as cuda_device
from sprnn_runtime.dlpack import GpuArray
from sprnn_runtime.layer import Layer, open_layer

import sprnnc


class Anything:
    """A namespace of constants, each its own name."""

    def __getattr__(self, name: str) -> str:
        return name


class QuietDriver:
    """``calls``: what was asked for, name and arguments. ``captures``: what it says of every stream."""

    CUdevice_attribute = CUfunction_attribute = CUstream_flags = CUevent_flags = Anything()
    CUstream = int

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.captures = 0
        self._next = 1 << 20

    def __getattr__(self, name: str) -> Callable[..., tuple[Any, ...]]:
        results = (1,) if name in _MAKERS else ()

        def call(*args: Any) -> tuple[Any, ...]:
            self.calls.append((name, *args))
            return 0, *results

        vars(self)[name] = call
        return call

    def cuDeviceGetName(self, *_: Any) -> tuple[int, bytes]:
        return 0, b"quiet\0"

    def cuDeviceGetAttribute(self, name: str, _: Any) -> tuple[int, int]:
        known = {"COMPUTE_CAPABILITY_MAJOR": 9, "COMPUTE_CAPABILITY_MINOR": 0, "MULTIPROCESSOR_COUNT": 132}
        return 0, known[name.removeprefix("CU_DEVICE_ATTRIBUTE_")]

    def cuMemcpyDtoHAsync(self, to: int, *args: Any) -> tuple[int]:
        self.calls.append(("cuMemcpyDtoHAsync", to, *args))
        ctypes.memset(to, 0, args[1])
        return (0,)

    def cuStreamIsCapturing(self, stream: int) -> tuple[int, int]:
        self.calls.append(("cuStreamIsCapturing", stream))
        return 0, self.captures

    def cuMemAlloc(self, size: int) -> tuple[int, int]:
        self.calls.append(("cuMemAlloc", size))
        self._next += -(-size // 256) * 256
        return 0, self._next - -(-size // 256) * 256

    def names(self) -> list[str]:
        return [name for name, *_ in self.calls]


_MAKERS = """
    cuDeviceGetCount cuDeviceGet cuDevicePrimaryCtxRetain cuStreamCreate cuModuleLoadData cuModuleGetFunction
    cuOccupancyMaxActiveBlocksPerMultiprocessor cuEventCreate
""".split()


def quiet_layer(artifact: sprnnc.Artifact, monkeypatch: Any) -> tuple[Layer, QuietDriver]:
    """A layer of device ``cuda`` that asks a QuietDriver, without a vendor's library."""
    driver = QuietDriver()
    monkeypatch.setattr(cuda_device, "_driver", lambda: driver)
    monkeypatch.setenv("SPRNN_OWN_PRODUCTS", "1")
    return open_layer(artifact.loaded(), "cuda"), driver


def on_gpu(*shape: int, pointer: int = 1 << 16) -> GpuArray:
    """A float32 array that seems to lie on GPU 0."""
    return GpuArray(None, pointer, shape, 0, lambda stream: None)
