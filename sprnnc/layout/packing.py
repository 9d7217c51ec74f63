"""Packs a Layout into the words that the kernel loads. Bits only: no decision is made here."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from sprnnc.cell.ir import DType
from sprnnc.layout.layout import FloatArray, PhaseLayout
from sprnnc.layout.partition import IntArray

Words = NDArray[np.uint32]

_NUMPY: dict[DType, Any] = {DType.FP32: np.float32, DType.FP16: np.float16, DType.BF16: ml_dtypes.bfloat16}


def to_storage(values: NDArray[Any], dtype: DType) -> NDArray[Any]:
    """``values`` rounded to the storage type (round to nearest even)."""
    with np.errstate(over="ignore"):
        return values.astype(_NUMPY[dtype])


def storage_bits(values: NDArray[Any], dtype: DType) -> Words:
    """The storage bits of each value in the low end of a 32-bit word."""
    stored = to_storage(values, dtype)
    unsigned = np.uint32 if dtype is DType.FP32 else np.uint16
    return stored.view(unsigned).astype(np.uint32)


def pack_slots(phase: PhaseLayout, dtype: DType, narrow: bool) -> Words:
    """Slots of a phase as uint32 [blocks, warps, slots, words, 32].

    Narrow: one word, value << 16 | position. Wide: the value's bits, then the position.
    """
    bits = storage_bits(phase.value, dtype)
    position = phase.position.astype(np.uint32)
    if narrow:
        return np.stack([bits << np.uint32(16) | position], axis=3)
    return np.stack([bits, position], axis=3)


def unpack_slots(words: Words, dtype: DType, narrow: bool) -> tuple[FloatArray, IntArray]:
    """The inverse of ``pack_slots``: float32 value and int32 position, both [blocks, warps, slots, 32]."""
    if narrow:
        bits, position = words[:, :, :, 0] >> np.uint32(16), words[:, :, :, 0] & np.uint32(0xFFFF)
    else:
        bits, position = words[:, :, :, 0], words[:, :, :, 1]
    unsigned = np.uint32 if dtype is DType.FP32 else np.uint16
    value: FloatArray = bits.astype(unsigned).view(_NUMPY[dtype]).astype(np.float32)
    return value, position.astype(np.int32)


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
    values: FloatArray = halves[:, :cols].astype(np.uint16).view(_NUMPY[dtype]).astype(np.float32)
    return values
