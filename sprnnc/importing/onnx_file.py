"""Reads an ONNX file with distrust: nothing is evaluated, and no file outside its folder is opened."""

from __future__ import annotations

import importlib
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sprnnc.diagnostics import fail, shown

FLOATS = {"float16", "float32", "float64", "bfloat16"}
_INTEGERS = {"int32", "int64"}


def read_onnx(path: Path) -> Any:
    """The ModelProto, external data not yet read.

    Raises CompileError E704 without the onnx package, E302 for a file that is not a model.
    """
    try:
        onnx = importlib.import_module("onnx")
        decode_error = importlib.import_module("google.protobuf.message").DecodeError
    except ImportError as error:
        raise fail(
            "E704",
            f"{path} is read through the onnx package, which cannot be imported: {error}",
            help="pip install 'sprnnc[import]'",
        ) from error
    advice = "give a .onnx file as torch.onnx.export or onnx.save writes it"
    try:
        model = onnx.load_model_from_string(path.read_bytes())
    except (OSError, decode_error) as error:
        raise fail("E302", f"cannot read {path}: {error}", help=advice) from error
    if not model.HasField("graph"):
        raise fail("E302", f"cannot read {path}: it holds no graph", help=advice)
    if not _names_are_text(model):
        raise fail("E302", f"cannot read {path}: it holds names that are not UTF-8", help=advice)
    return model


def _names_are_text(message: Any) -> bool:
    """Whether every string is one: protobuf hands out damaged ones as bytes."""
    for field, value in message.ListFields():
        if field.type == field.TYPE_STRING:
            if not all(isinstance(s, str) for s in ([value] if isinstance(value, (str, bytes)) else value)):
                return False
        elif field.type == field.TYPE_MESSAGE and not all(
            map(_names_are_text, [value] if hasattr(value, "ListFields") else value)
        ):
            return False
    return True


def tensor_array(tensor: Any, path: Path) -> NDArray[np.float64]:
    """A stored tensor's numbers as float64; those outside the file only from its own folder.

    Raises CompileError E306 for another type than floats, E707 for data elsewhere, E302 for damaged ones.
    """
    kind = numpy_type(tensor.data_type)
    if str(kind) not in FLOATS:
        raise fail(
            "E306",
            f"{path}: tensor '{shown(tensor.name)}' has type {kind}, which is not read",
            help=f"import the model before it is quantised; read are {', '.join(sorted(FLOATS))}",
        )
    return _array(tensor, path).astype(np.float64)


def integer_array(tensor: Any, path: Path) -> NDArray[np.int64]:
    """The same for sizes, axes and lengths: int32 or int64, as int64."""
    kind = numpy_type(tensor.data_type)
    if str(kind) not in _INTEGERS:
        message = f"{path}: tensor '{shown(tensor.name)}' has type {kind}, expected whole numbers"
        raise fail("E306", message)
    return _array(tensor, path).astype(np.int64)


def numpy_type(number: int) -> Any:
    """The NumPy type that ONNX means by a number, or words where it means none."""
    try:
        return importlib.import_module("onnx.helper").tensor_dtype_to_np_dtype(number)
    except (KeyError, ValueError, TypeError):
        return f"number {number}"


def _array(tensor: Any, path: Path) -> NDArray[Any]:
    try:
        if tensor.data_location == tensor.EXTERNAL:
            kind = numpy_type(tensor.data_type)
            data = _external_bytes(tensor, path, math.prod(tensor.dims) * kind.itemsize)
            return np.frombuffer(data, kind).reshape(tuple(tensor.dims))
        return np.asarray(importlib.import_module("onnx.numpy_helper").to_array(tensor))
    except (ValueError, TypeError, OSError, OverflowError) as error:
        raise fail(
            "E302",
            f"{path}: cannot read tensor '{shown(tensor.name)}': {error}",
            help="the file may be truncated",
        ) from error


def _external_bytes(tensor: Any, path: Path, size: int) -> bytes:
    """``size`` bytes of the file beside ``path`` that the tensor names, links followed and checked."""
    where = {entry.key: entry.value for entry in tensor.external_data}
    folder = os.path.realpath(path.parent)
    file = os.path.realpath(os.path.join(folder, where.get("location", "")))
    if os.path.commonpath([folder, file]) != folder or not os.path.isfile(file):
        raise fail(
            "E707",
            f"{path}: tensor '{shown(tensor.name)}' lies in '{shown(where.get('location', ''))}', "
            "which is no file inside the model's folder",
            help="keep the data file beside the model, or save the model with its data inside",
        )
    offset = int(where.get("offset", "0"))
    length = int(where.get("length", str(size)))
    if offset < 0 or length != size:
        raise ValueError(f"its data are said to have {length} bytes, its shape needs {size}")
    with open(file, "rb") as opened:
        opened.seek(offset)
        data = opened.read(size)
    if len(data) != size:
        raise ValueError(f"'{shown(where['location'])}' ends too soon")
    return data
