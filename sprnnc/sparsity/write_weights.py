"""Weights as the bytes of a .safetensors or .npz file; the reader is in weight_files.py."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from sprnnc.diagnostics import fail

_SAFETENSORS = {"float32": "F32", "float16": "F16"}
_ALIGN_BYTES = 8  # the data of a safetensors file begins at a multiple of it


def weight_file_bytes(path: Path, tensors: Mapping[str, NDArray[Any]]) -> bytes:
    """The contents of ``path``, whose suffix says the format: float32, in the order given.

    Raises CompileError E302 for another suffix than .safetensors and .npz.
    """
    arrays = {name: np.ascontiguousarray(tensor, np.float32) for name, tensor in tensors.items()}
    if path.suffix == ".safetensors":
        return safetensors_bytes(arrays)
    if path.suffix == ".npz":
        return _npz_bytes(arrays)
    raise fail(
        "E302",
        f"cannot write weights to {path}: unknown kind of file",
        help="give a name that ends in .safetensors or .npz",
    )


def _npz_bytes(tensors: Mapping[str, NDArray[np.float32]]) -> bytes:
    """As numpy.savez, but for any name of a tensor, and with the same bytes every time."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, tensor in tensors.items():
            member = io.BytesIO()
            npy.write_array(member, tensor, version=(1, 0), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), member.getvalue())
    return buffer.getvalue()


def safetensors_bytes(tensors: Mapping[str, NDArray[np.floating[Any]]]) -> bytes:
    """The safetensors format: the header's length (u64, little endian), the header as JSON, the data.

    Tensors are float32 or float16.
    """
    header: dict[str, Any] = {}
    at = 0
    for name, tensor in tensors.items():
        header[name] = {
            "dtype": _SAFETENSORS[tensor.dtype.name],
            "shape": list(tensor.shape),
            "data_offsets": [at, at + tensor.nbytes],
        }
        at += tensor.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGN_BYTES)
    data = [t.astype(t.dtype.newbyteorder("<"), copy=False).tobytes() for t in tensors.values()]
    return b"".join([struct.pack("<Q", len(text)), text, *data])
