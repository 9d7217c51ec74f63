"""Constants as one run of bytes: a file beside an exported source, or words inside it."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

ALIGNMENT = 256  # bytes; what cudaMalloc gives, and more than any load of a kernel needs
_WORDS_A_LINE = 4


@dataclass(frozen=True, slots=True)
class Blob:
    """``data``, and by name where each array begins in it. Little-endian; gaps are zeros."""

    data: bytes
    offsets: dict[str, int]

    @property
    def checksum(self) -> int:
        """CRC-32 as of zlib."""
        return zlib.crc32(self.data)


def pack(arrays: Mapping[str, NDArray[Any]]) -> Blob:
    """The arrays one behind the other, each at a multiple of ``ALIGNMENT`` bytes."""
    offsets, pieces, at = {}, [], 0
    for name, array in arrays.items():
        offsets[name] = at
        piece = raw(array)
        pieces.append(piece.ljust(-(-len(piece) // ALIGNMENT) * ALIGNMENT, b"\0"))
        at += len(pieces[-1])
    return Blob(b"".join(pieces) or bytes(ALIGNMENT), offsets)


def raw(array: NDArray[Any]) -> bytes:
    """Little-endian values in C order."""
    return np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def as_words(data: bytes) -> tuple[str, ...]:
    """Lines of an initialiser of 64-bit words; ``data`` is a multiple of 8 bytes."""
    words = [f"0x{word:016x}ull," for word in np.frombuffer(data, "<u8")]
    return tuple("  " + " ".join(words[i : i + _WORDS_A_LINE]) for i in range(0, len(words), _WORDS_A_LINE))
