"""A file to layers, by its kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from sprnnc.diagnostics import fail
from sprnnc.importing.checkpoint import PICKLED, read_pickled, read_safetensors
from sprnnc.importing.layer import ImportedLayer
from sprnnc.importing.onnx_model import from_onnx
from sprnnc.importing.pytorch import from_tensors

_CHECKPOINTS: dict[str, Callable[[Path], dict[str, NDArray[Any]]]] = {
    ".safetensors": read_safetensors,
    ".npz": read_safetensors,
    **dict.fromkeys(PICKLED, read_pickled),
}


def import_file(
    path: str | Path, nonlinearity: str | None = None, only: Sequence[str] = ()
) -> list[ImportedLayer]:
    """Every recurrent layer and direction of a file; nothing is written, and nothing in it is run.

    ``path``: a PyTorch state_dict as .safetensors, .npz or (through torch) .pt, or an ONNX model as .onnx.
    ``nonlinearity``: ``tanh`` or ``relu``, for nn.RNN in a state_dict. ``only``: names of modules or nodes,
    ``*`` for any letters, others are not looked at; empty for all. Raises CompileError: E302 and E306 for
    unusable files, E701 to E708 for what cannot be imported.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix in _CHECKPOINTS:
        return from_tensors(_CHECKPOINTS[suffix](path), path.name, nonlinearity, only)
    if suffix == ".onnx":
        return from_onnx(path, only)
    raise fail(
        "E701",
        f"cannot import {path}: unknown kind of file",
        help="give a PyTorch state_dict (.safetensors, .pt) or an ONNX model (.onnx)",
    )
