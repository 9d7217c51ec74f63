"""Numbers as the bits that a kernel loads. No decision is made here."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sprnnc.cell.ir import DType
from sprnnc.cell.storage import NUMPY_TYPE, to_storage

FloatArray = NDArray[np.float32]
Words = NDArray[np.uint32]


def storage_bits(values: NDArray[Any], dtype: DType) -> Words:
    """The storage bits of each value in the low end of a 32-bit word."""
    stored = to_storage(values, dtype)
    unsigned = np.uint32 if dtype is DType.FP32 else np.uint16
    return stored.view(unsigned).astype(np.uint32)


def pack_dense(matrix: FloatArray, dtype: DType) -> Words:
    """A dense matrix as rows of whole words: one fp32, or two 16-bit values a word (odd rows padded)."""
    bits = storage_bits(matrix, dtype)
    if dtype is DType.FP32:
        return bits
    if bits.shape[1] % 2:
        bits = np.pad(bits, ((0, 0), (0, 1)))
    return bits[:, 0::2] | bits[:, 1::2] << np.uint32(16)


def unpack_dense(words: Words, dtype: DType, cols: int) -> FloatArray:
    """The inverse of ``pack_dense`` for a matrix of ``cols`` columns: float32 [rows, cols]."""
    if dtype is DType.FP32:
        return words.view(np.float32)
    halves = np.stack([words & np.uint32(0xFFFF), words >> np.uint32(16)], axis=2).reshape(len(words), -1)
    values: FloatArray = halves[:, :cols].astype(np.uint16).view(NUMPY_TYPE[dtype]).astype(np.float32)
    return values
