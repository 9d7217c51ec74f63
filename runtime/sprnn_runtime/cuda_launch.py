"""A kernel launch of the CUDA driver whose arguments lie in memory, ready to be repeated."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sprnn_runtime.errors import DeviceError


class CudaLaunch:
    """``call`` of the driver with arguments that are laid out once: nothing is built at a launch."""

    def __init__(
        self, call: Callable[..., Any], shape: Sequence[Any], args: Sequence[Any], *, cooperative: bool
    ) -> None:
        """``shape``: what comes before the arguments: function, grid, block, shared memory, stream."""
        self._call = call
        self._kept = list(args)
        self._cells = [_cell(a) for a in args]
        addresses = [ctypes.addressof(cell) for cell in self._cells]
        self._table = (ctypes.c_void_p * len(addresses))(*addresses)
        table = ctypes.addressof(self._table)
        self._given = (*shape, table) if cooperative else (*shape, table, 0)

    def set(self, index: int, memory: Any) -> None:
        self._kept[index] = memory  # it must live as long as the launch may be repeated
        self._cells[index].value = memory.pointer

    def __call__(self) -> None:
        (status,) = self._call(*self._given)
        if status:
            raise DeviceError("E614", f"a launch failed: {status!r}", "the outputs are not valid")


def _cell(argument: Any) -> Any:
    """Where the driver reads one argument."""
    if hasattr(argument, "pointer"):
        return ctypes.c_void_p(argument.pointer)
    kind: Any = np.ctypeslib.as_ctypes_type(argument.dtype)
    return kind(argument.item())
