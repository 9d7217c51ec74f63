"""Dense products through cuBLASLt, where this machine has it: found by cuda-pathfinder, called by ctypes.

Nothing here is needed: a kernel of the artifact computes the same. All products of one shape use the
algorithm that is best for a sequence of ordinary length, with no sum split, so that a column's bits do not
depend on how many there are: a sequence fed in chunks equals one call.
"""

from __future__ import annotations

import ctypes
import os
from ctypes import byref, c_float, c_int, c_int64, c_size_t, c_uint32, c_uint64, c_void_p
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_KERNELS_VARIABLE = "SPRNN_OWN_PRODUCTS"
_ORDINARY_COLUMNS = 1024
_ALIGNMENT, _LEAST_ALIGNMENT = 16, 4  # in bytes: what tensor cores load at once, and one value
_MOST_CALLS = 64  # of different numbers of columns that are kept described
# Of cublasLt.h and library_types.h.
# FP32 in its pedantic form: of the plain one a product of 3 columns came back with the error of TF32 (H200).
_COMPUTE_FP32, _COMPUTE_TF32, _FLOAT = 69, 77, 0
_TRANSPOSE_A, _TRANSPOSED = 3, 1
_WORKSPACE_BYTES, _REDUCTIONS, _ALIGNMENT_OF_A, _NO_SPLIT = 1, 3, 5, 0


class _Found(ctypes.Structure):
    """cublasLtMatmulHeuristicResult_t; ``algorithm`` is opaque."""

    _fields_ = (
        ("algorithm", c_uint64 * 8),
        ("workspace_bytes", c_size_t),
        ("status", c_int),
        ("waves", c_float),
        ("reserved", c_int * 4),
    )


@dataclass(frozen=True, slots=True)
class Product:
    """product [columns, rows] = operand [columns, cols] @ weight [rows, cols]^T, float32, in C order.

    Rows of ``weight`` and ``operand`` lie ``*_stride`` values apart. ``exact``: products in fp32; otherwise
    factors are rounded to TF32, which has the 10 bits of fp16, and sums are fp32.
    """

    rows: int
    cols: int
    weight_stride: int
    operand_stride: int
    exact: bool


@dataclass(frozen=True, slots=True)
class _Call:
    """What is made once for all products of a kind and a number of columns."""

    algorithm: Any
    operation: c_void_p
    weight: c_void_p
    operand: c_void_p
    product: c_void_p


class VendorGemm:
    """One cuBLASLt handle, of the context that is current when it is made."""

    workspace_bytes = 32 << 20  # what is recommended for Hopper

    def __init__(self, library: Any) -> None:
        """Raises OSError."""
        self._library = library
        self._algorithms: dict[tuple[Product, int], Any] = {}
        self._calls: dict[tuple[Product, int, int], _Call] = {}
        self._handle = self._make("cublasLtCreate")

    def prepare(self, kind: Product) -> None:
        """Finds the algorithms for ``kind``. Raises OSError where there is none."""
        for alignment in (_ALIGNMENT, _LEAST_ALIGNMENT):
            if (kind, alignment) not in self._algorithms:
                self._algorithms[kind, alignment] = self._search(kind, alignment)

    def multiply(
        self,
        kind: Product,
        weight: int,
        operand: int,
        product: int,
        columns: int,
        stream: int,
        workspace: int,
    ) -> None:
        """Enqueues the product of ``columns`` columns on ``stream``, prepared before.

        All others are device addresses; nothing else uses the ``workspace`` of ``workspace_bytes`` meanwhile.
        Raises OSError where cuBLASLt reports an error.
        """
        whole = operand % _ALIGNMENT == 0 and 4 * kind.operand_stride % _ALIGNMENT == 0
        call = self._call_of(kind, _ALIGNMENT if whole else _LEAST_ALIGNMENT, columns)
        self._call(
            "cublasLtMatmul",
            self._handle,
            call.operation,
            byref(c_float(1)),
            c_void_p(weight),
            call.weight,
            c_void_p(operand),
            call.operand,
            byref(c_float(0)),
            c_void_p(product),
            call.product,
            c_void_p(product),
            call.product,
            byref(call.algorithm),
            c_void_p(workspace),
            c_size_t(self.workspace_bytes),
            c_void_p(stream),
        )

    def close(self) -> None:
        self._forget_calls()
        self._library.cublasLtDestroy(self._handle)

    def _call_of(self, kind: Product, alignment: int, columns: int) -> _Call:
        key = (kind, alignment, columns)
        if key not in self._calls:
            if len(self._calls) >= _MOST_CALLS:
                self._forget_calls()
            self._calls[key] = self._describe(kind, columns, self._algorithms[kind, alignment])
        return self._calls[key]

    def _forget_calls(self) -> None:
        for call in self._calls.values():
            self._destroy(call)
        self._calls.clear()

    def _search(self, kind: Product, alignment: int) -> Any:
        """The algorithm for every product of this kind whose addresses are multiples of ``alignment``."""
        call = self._describe(kind, _ORDINARY_COLUMNS, None)
        preference = self._make("cublasLtMatmulPreferenceCreate")
        self._prefer(preference, _WORKSPACE_BYTES, c_size_t(self.workspace_bytes))
        self._prefer(preference, _REDUCTIONS, c_uint32(_NO_SPLIT))
        for matrix, bytes_ in enumerate((_ALIGNMENT, alignment, _ALIGNMENT, _ALIGNMENT)):
            self._prefer(preference, _ALIGNMENT_OF_A + matrix, c_uint32(bytes_))
        found, count = _Found(), c_int()
        self._call(
            "cublasLtMatmulAlgoGetHeuristic",
            self._handle,
            call.operation,
            call.weight,
            call.operand,
            call.product,
            call.product,
            preference,
            1,
            byref(found),
            byref(count),
        )
        self._library.cublasLtMatmulPreferenceDestroy(preference)
        self._destroy(call)
        if not count.value:
            raise OSError(f"cuBLASLt has no algorithm for {kind}")
        return found.algorithm

    def _describe(self, kind: Product, columns: int, algorithm: Any) -> _Call:
        """cuBLAS counts by columns: to it weight, operand and product are their transposes."""
        compute = _COMPUTE_FP32 if kind.exact else _COMPUTE_TF32
        operation = self._make("cublasLtMatmulDescCreate", compute, _FLOAT)
        transposed = c_int(_TRANSPOSED)
        self._call("cublasLtMatmulDescSetAttribute", operation, _TRANSPOSE_A, byref(transposed), c_size_t(4))
        return _Call(
            algorithm,
            operation,
            self._matrix(kind.cols, kind.rows, kind.weight_stride),
            self._matrix(kind.cols, columns, kind.operand_stride),
            self._matrix(kind.rows, columns, kind.rows),
        )

    def _matrix(self, rows: int, columns: int, stride: int) -> c_void_p:
        sizes = c_uint64(rows), c_uint64(columns), c_int64(stride)
        return self._make("cublasLtMatrixLayoutCreate", _FLOAT, *sizes)

    def _prefer(self, preference: c_void_p, name: int, value: Any) -> None:
        size = c_size_t(ctypes.sizeof(value))
        self._call("cublasLtMatmulPreferenceSetAttribute", preference, name, byref(value), size)

    def _destroy(self, call: _Call) -> None:
        self._library.cublasLtMatmulDescDestroy(call.operation)
        for matrix in (call.weight, call.operand, call.product):
            self._library.cublasLtMatrixLayoutDestroy(matrix)

    def _make(self, name: str, *arguments: Any) -> c_void_p:
        made = c_void_p()
        self._call(name, byref(made), *arguments)
        return made

    def _call(self, name: str, *arguments: Any) -> None:
        status = getattr(self._library, name)(*arguments)
        if status:
            raise OSError(f"{name} returned status {status}")


def weight_stride(cols: int) -> int:
    """Values from one row of a weight to the next: whole 16 bytes, which tensor cores load."""
    return -(-cols // 4) * 4


def as_float32(words: NDArray[np.uint32], dtype: str, cols: int) -> NDArray[np.float32]:
    """A weight's packed bits uint32 [rows, words] as float32 [rows, weight_stride(cols)], padded by zeros."""
    values = np.zeros((len(words), weight_stride(cols)), np.float32)
    if dtype == "fp32":
        values[:, :cols] = words.view(np.float32)
        return values
    halves = np.stack([words & np.uint32(0xFFFF), words >> np.uint32(16)], axis=2).reshape(len(words), -1)
    if dtype == "bf16":
        values[:, :cols] = (halves[:, :cols] << np.uint32(16)).view(np.float32)
    else:
        values[:, :cols] = halves[:, :cols].astype(np.uint16).view(np.float16)
    return values


def find_library() -> ctypes.CDLL | None:
    """cuBLASLt of CUDA 13; None where there is none, or where SPRNN_OWN_PRODUCTS is set."""
    if os.environ.get(_KERNELS_VARIABLE):
        return None
    try:
        from cuda.pathfinder import load_nvidia_dynamic_lib

        return ctypes.CDLL(load_nvidia_dynamic_lib("cublasLt").abs_path)
    except (ImportError, RuntimeError, OSError):  # no pathfinder; not found; found and not loaded
        return None
