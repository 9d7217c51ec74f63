"""Pruned matrices in a small file: their non-zeros in fp16, and how far each lies from the one before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sprnn_runtime import container

from sprnnc.diagnostics import fail
from sprnnc.sparsity.weight_files import open_tensors
from sprnnc.sparsity.write_weights import safetensors_bytes

_LONGEST = 2048  # whole numbers up to it are exact in fp16


def write_sparse(path: Path, matrices: dict[str, NDArray[np.float32]]) -> None:
    """Writes ``NAME.values`` and ``NAME.gaps`` for each matrix: float16, values rounded, row after row.

    A gap is the distance from the value before, the first one's from the place before the matrix. Where a gap
    is longer than fp16 counts, zeros stand in it.
    """
    tensors: dict[str, NDArray[np.floating[Any]]] = {}
    for name, matrix in matrices.items():
        flat = matrix.ravel()
        kept = np.flatnonzero(flat)
        steps = np.arange(_LONGEST - 1, flat.size, _LONGEST)
        places = np.union1d(kept, steps)  # a place at every step: no gap is longer
        gaps = np.diff(places, prepend=-1)
        tensors[f"{name}.values"] = flat[places].astype(np.float16)
        tensors[f"{name}.gaps"] = gaps.astype(np.float16)
    container.write_file(path, safetensors_bytes(tensors))


def read_sparse(path: Path, shapes: dict[str, tuple[int, int]]) -> dict[str, NDArray[np.float32]]:
    """The matrices, float32. Raises CompileError E302 where the file is damaged or does not fit."""
    matrices = {}
    with open_tensors(path) as tensors:
        for name, shape in shapes.items():
            flat = np.zeros(shape[0] * shape[1], np.float32)
            try:
                places = np.cumsum(tensors[f"{name}.gaps"].read().astype(np.int64)) - 1
                flat[places] = tensors[f"{name}.values"].read()
            except (KeyError, IndexError, ValueError) as error:
                raise fail("E302", f"{path} holds no matrix '{name}' of {list(shape)}: {error}") from error
            matrices[name] = flat.reshape(shape)
    return matrices
