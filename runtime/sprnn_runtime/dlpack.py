"""DLPack both ways for float32 arrays on a GPU, without a copy and in stream order.

The structures are those of dlpack.h (DLPack 0.x ABI): a capsule named ``dltensor`` around a
DLManagedTensor; the consumer renames it ``used_dltensor`` and calls the deleter when done.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

from sprnn_runtime.errors import InputError

_CUDA = 2
_INT, _UNSIGNED, _FLOAT, _BOOL = 0, 1, 2, 6
_TYPES = {
    "float32": {(_FLOAT, 32, 1)},
    "int32": {(_INT, 32, 1)},
    "uint8": {(_UNSIGNED, 8, 1), (_BOOL, 8, 1)},
}
_HELP = {
    "float32": "convert it: x.float()",
    "int32": "convert it: x.int()",
    "uint8": "convert it: x.bool()",
}
_NAME, _USED = b"dltensor", b"used_dltensor"


class _Tensor(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    ]


class _Managed(ctypes.Structure):
    pass


_DELETER = ctypes.CFUNCTYPE(None, ctypes.POINTER(_Managed))
_Managed._fields_ = [("tensor", _Tensor), ("context", ctypes.c_void_p), ("deleter", _DELETER)]

_api = ctypes.pythonapi
_api.PyCapsule_New.restype = ctypes.py_object
_api.PyCapsule_New.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
_api.PyCapsule_GetPointer.restype = ctypes.c_void_p
_api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
_api.PyCapsule_SetName.argtypes = [ctypes.py_object, ctypes.c_char_p]

# What exported tensors point to, alive until their consumer calls the deleter.
_exported: dict[int, tuple[Any, ...]] = {}


def _forget(managed: Any) -> None:
    _exported.pop(ctypes.addressof(managed.contents), None)


_release = _DELETER(_forget)


class GpuArray:
    """A float32 C-contiguous array on a GPU that other libraries take with ``from_dlpack``."""

    def __init__(
        self,
        memory: object,
        pointer: int,
        shape: tuple[int, ...],
        device_id: int,
        order_after: Callable[[int], None],
    ) -> None:
        self.shape = shape
        self.pointer = pointer
        self._memory = memory
        self._device_id = device_id
        self._order_after = order_after

    def __dlpack_device__(self) -> tuple[int, int]:
        return _CUDA, self._device_id

    def __dlpack__(self, *, stream: int | None = None, **_: Any) -> Any:
        """A capsule; work that the consumer puts on ``stream`` comes after the kernels that made the data."""
        if stream != -1:
            self._order_after(0 if stream in (None, 1) else int(stream or 0))
        shape = (ctypes.c_int64 * len(self.shape))(*self.shape)
        tensor = _Tensor(self.pointer, _CUDA, self._device_id, len(self.shape), _FLOAT, 32, 1, shape, None, 0)
        managed = _Managed(tensor, None, _release)
        _exported[ctypes.addressof(managed)] = (managed, shape, self._memory)
        return _api.PyCapsule_New(ctypes.addressof(managed), _NAME, None)


def is_gpu_array(array: Any) -> bool:
    """Whether ``array`` speaks DLPack and lies on a CUDA device."""
    device = getattr(array, "__dlpack_device__", None)
    return device is not None and int(device()[0]) == _CUDA


def borrow_gpu_array(
    array: Any, shape: tuple[int, ...], device_id: int, stream: int, dtype: str = "float32"
) -> tuple[int, object]:
    """The pointer of ``array``, and an owner that keeps it alive.

    Raises InputError E604 unless it is of ``dtype``, C-contiguous, of ``shape`` and on ``device_id``.
    """
    capsule = array.__dlpack__(stream=stream)
    managed = ctypes.cast(_api.PyCapsule_GetPointer(capsule, _NAME), ctypes.POINTER(_Managed))
    _api.PyCapsule_SetName(capsule, _USED)
    owner = _Borrowed(managed, array)
    tensor = managed.contents.tensor
    got = tuple(tensor.shape[i] for i in range(tensor.ndim))
    if (tensor.code, tensor.bits, tensor.lanes) not in _TYPES[dtype]:
        raise InputError("E604", f"the GPU array is not {dtype}", _HELP[dtype])
    if got != shape:
        raise InputError("E604", f"the GPU array has shape {list(got)}, expected {list(shape)}")
    if tensor.device_id != device_id:
        raise InputError("E604", f"the array lies on GPU {tensor.device_id}, the layer on GPU {device_id}")
    if not _contiguous(tensor, got):
        raise InputError("E604", "the GPU array is not C-contiguous", "call x.contiguous()")
    return int(tensor.data or 0) + int(tensor.byte_offset), owner


class _Borrowed:
    """Calls the producer's deleter when we no longer read its memory."""

    def __init__(self, managed: Any, array: object) -> None:
        self._managed = managed
        self._array = array

    def __del__(self) -> None:
        if self._managed.contents.deleter:
            self._managed.contents.deleter(self._managed)


def _contiguous(tensor: _Tensor, shape: tuple[int, ...]) -> bool:
    if not tensor.strides:
        return True
    expected = 1
    for i in reversed(range(len(shape))):
        if shape[i] != 1 and tensor.strides[i] != expected:
            return False
        expected *= shape[i]
    return True
