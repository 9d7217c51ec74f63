"""Reads the recurrent tensors of a PyTorch checkpoint: safetensors, or .pt where torch is installed.

Nothing in a file is ever run: .pt files are read by ``torch.load(weights_only=True)`` alone.
"""

from __future__ import annotations

import importlib
import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sprnnc.diagnostics import fail, shown
from sprnnc.importing.pytorch_names import recurrent_names
from sprnnc.sparsity.weight_files import ACCEPTED_TYPES, open_tensors

PICKLED = (".pt", ".pth", ".bin", ".ckpt")
_SAVE = "safetensors.torch.save_file(model.state_dict(), 'model.safetensors')"
# Where training scripts put the state_dict inside what they save.
_NESTS = ("state_dict", "model_state_dict", "model", "module", "net", "network", "weights")


def read_safetensors(path: Path) -> dict[str, NDArray[Any]]:
    """The tensors of recurrent layers; all others by name only, as empty arrays, for messages.

    Raises CompileError E302 for an unusable file, E306 for a type that is not read.
    """
    with open_tensors(path) as entries:
        wanted = recurrent_names(entries)
        for name in wanted:
            if entries[name].dtype not in ACCEPTED_TYPES:
                raise fail(
                    "E306",
                    f"{path}: tensor '{shown(name)}' has type {entries[name].dtype}, which is not read",
                    help=f"convert it to one of {', '.join(sorted(ACCEPTED_TYPES))}",
                )
        return {name: entries[name].read() if name in wanted else np.zeros(0) for name in entries}


def read_pickled(path: Path) -> dict[str, NDArray[Any]]:
    """The same for a file of ``torch.save``. Raises CompileError E704 without torch, E707 for a file with
    anything but tensors in it, E302 for an unreadable one."""
    try:
        torch = importlib.import_module("torch")
    except (ImportError, OSError) as error:  # OSError: a library of its own that does not load
        raise fail(
            "E704",
            f"{path} is read through torch, which cannot be imported: {error}",
            help=f"install torch, or save the model where it is: {_SAVE}",
        ) from error
    try:
        with warnings.catch_warnings(action="ignore"):  # what it cannot read it raises besides
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        asks = f" (it asks for {shown(named[1])})" if named else ""
        raise fail(
            "E707",
            f"{path} holds more than tensors{asks}, and code in it is never run",
            help=f"where the model was made, save its tensors alone: {_SAVE}",
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError, KeyError) as error:
        if "TorchScript" in str(error):
            raise fail(
                "E707",
                f"{path} is a TorchScript archive, which holds code, and code in it is never run",
                help="where it may be trusted, save the tensors of torch.jit.load(FILE).state_dict() "
                "by safetensors.torch.save_file",
            ) from error
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise fail("E302", f"cannot read {path}: {first}", help=f"save it as safetensors: {_SAVE}") from error
    return arrays_of(_state_dict(loaded))


def _state_dict(loaded: Any) -> Mapping[str, Any]:
    """The mapping that holds recurrent tensors, here or a level below; else the outer one."""
    if not isinstance(loaded, Mapping):
        return {}
    inner = [loaded.get(name) for name in _NESTS]
    for candidate in (loaded, *(m for m in inner if isinstance(m, Mapping))):
        if recurrent_names(str(name) for name in candidate):
            return candidate
    return loaded


def arrays_of(state: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """Recurrent tensors of torch as float64 arrays; all others by name only.

    Raises CompileError E306 for what is no dense tensor of numbers.
    """
    wanted = set(recurrent_names(map(str, state)))
    return {str(n): _array(str(n), t) if str(n) in wanted else np.zeros(0) for n, t in state.items()}


def _array(name: str, tensor: Any) -> NDArray[np.float64]:
    """A tensor of torch, wherever it lies, or anything that NumPy takes."""
    try:
        if tensor is None:  # which NumPy takes for NaN
            raise TypeError("it is None")
        if hasattr(tensor, "detach"):  # NumPy has no bfloat16, so torch converts
            tensor = tensor.detach().cpu().double().numpy()
        return np.array(tensor, np.float64)
    except (TypeError, ValueError, RuntimeError) as error:  # NotImplementedError, of a meta tensor, is one
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise fail(
            "E306",
            f"tensor '{shown(name)}' cannot be read as numbers: {first}",
            help="dense tensors of floats are read; convert a sparse or quantised one before saving",
        ) from error
