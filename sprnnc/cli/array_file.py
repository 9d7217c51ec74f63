"""Reads a user's arrays with distrust."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray
from sprnn_runtime.container import NOT_AN_ARRAY

from sprnnc.diagnostics import fail, shown
from sprnnc.sparsity.weight_files import ACCEPTED_TYPES, open_tensors


def read_array(path: Path) -> NDArray[np.float32]:
    """A float array of any shape as float32; never unpickles.

    Raises CompileError E616 for what is not a readable ``.npy`` file and E604 for another type.
    """
    advice = "numpy.save writes such a file"
    try:
        with path.open("rb") as file:
            array: NDArray[Any] = npy.read_array(file, allow_pickle=False)
    except OSError as error:
        raise fail("E616", f"cannot read {path}: {error}", help=advice) from error
    except NOT_AN_ARRAY as error:
        raise fail("E616", f"{path} is not a usable .npy file: {error}", help=advice) from error
    if array.dtype.kind != "f":
        raise fail(
            "E604",
            f"{path} holds {array.dtype}, expected float32",
            help="convert it: x.astype(numpy.float32)",
        )
    with np.errstate(over="ignore"):  # a float64 beyond float32 becomes Inf
        return array.astype(np.float32)


def read_arrays(path: Path) -> dict[str, NDArray[np.float32]]:
    """Every array of a ``.safetensors`` or ``.npz`` file by name, as float32.

    Raises CompileError E302 for an unusable file and E306 for another type than floats.
    """
    with open_tensors(path) as entries:
        for name, entry in entries.items():
            if entry.dtype not in ACCEPTED_TYPES:
                raise fail(
                    "E306",
                    f"{path}: '{shown(name)}' has type {entry.dtype}, which is not read",
                    help=f"convert it to one of {', '.join(sorted(ACCEPTED_TYPES))}",
                )
        with np.errstate(over="ignore"):  # a float64 beyond float32 becomes Inf
            return {name: np.array(entry.read(), np.float32) for name, entry in entries.items()}


def read_data(path: Path) -> NDArray[np.float32]:
    """The array of a ``.npy`` file; of a ``.npz`` or ``.safetensors`` file the one called x, or the only one.

    Raises CompileError E302, E306, E604 and E616 for unusable files, and E604 where it is not clear which.
    """
    if path.suffix not in (".npz", ".safetensors"):
        return read_array(path)
    arrays = read_arrays(path)
    if "x" in arrays or len(arrays) == 1:
        return arrays.get("x", next(iter(arrays.values())))
    listed = ", ".join(map(shown, list(arrays)[:12])) or "none"
    raise fail("E604", f"{path} holds several arrays or none: {listed}", help="call the input x")
