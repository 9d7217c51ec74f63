"""Reads weights from .npz and .safetensors files that nobody vouches for.

Names, shapes and types are compared with what is expected before any data is read, so that a
file cannot make us allocate more than the cell needs. Nothing is ever unpickled.
"""

from __future__ import annotations

import json
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError
from typing import Any, BinaryIO

import ml_dtypes
import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from sprnnc.diagnostics import CompileError, Diagnostic, fail, near_match, shown

Shapes = Mapping[str, tuple[int, ...]]
ACCEPTED_TYPES = {"float16", "float32", "float64", "bfloat16"}
_SAFETENSORS = {"F16": "float16", "F32": "float32", "F64": "float64", "BF16": "bfloat16"}
_MAX_HEADER_BYTES = 16 << 20
# What forged or truncated bytes make of zipfile, json and NumPy's header parser.
_UNREADABLE = (
    OSError,
    ValueError,
    zipfile.BadZipFile,
    EOFError,
    KeyError,
    struct.error,
    NotImplementedError,
    RuntimeError,
    TypeError,
    AttributeError,
    OverflowError,
    SyntaxError,
    TokenError,
    zlib.error,
)
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # others let a file choose our memory


@dataclass(frozen=True, slots=True)
class Entry:
    """One tensor of a file: what its header says, and how to read its data."""

    shape: tuple[int, ...]
    dtype: str
    read: Callable[[], NDArray[Any]]


def load_tensors(path: Path, expected: Shapes) -> dict[str, NDArray[np.float32]]:
    """Every expected tensor as float32. Raises CompileError with all that is wrong:

    E302 unreadable, truncated or unknown file; E303 missing, E304 unexpected tensor; E305 wrong
    shape; E306 wrong type.
    """
    with open_tensors(path) as entries:
        return _read(entries, expected, str(path))


@contextmanager
def open_tensors(path: Path) -> Iterator[Mapping[str, Entry]]:
    """The tensors of a file by name; their data may be read while it is open.

    Raises CompileError E302 for an unreadable, truncated or unknown file, also while data is read.
    """
    try:
        with path.open("rb") as file:
            if path.suffix == ".npz":
                with zipfile.ZipFile(file) as archive:
                    yield _npz_entries(archive)
                return
            if path.suffix == ".safetensors":
                yield _safetensors_entries(file)
                return
    except _UNREADABLE as error:
        missing = isinstance(error, OSError)
        raise fail(
            "E302",
            f"cannot read weights from {path}: {error}",
            help="give a .npz or .safetensors file that is there and may be read"
            if missing
            else "the file may be truncated or not what its name says",
        ) from error
    raise fail(
        "E302",
        f"cannot read weights from {path}: unknown kind of file",
        help="give a .npz or .safetensors file",
    )


def check_tensors(tensors: Mapping[str, Any], expected: Shapes) -> dict[str, NDArray[np.float32]]:
    """The same for arrays from Python; the result never aliases them."""
    arrays = {str(name): _as_array(str(name), value) for name, value in tensors.items()}
    entries = {n: Entry(a.shape, str(a.dtype), lambda a=a: a) for n, a in arrays.items()}  # type: ignore[misc]
    return _read(entries, expected, "weights")


def _as_array(name: str, value: Any) -> NDArray[Any]:
    try:
        return np.asarray(value)
    except (ValueError, TypeError) as error:
        raise fail("E306", f"weights: tensor '{shown(name)}' is not a rectangular array: {error}") from error


def _read(entries: Mapping[str, Entry], expected: Shapes, where: str) -> dict[str, NDArray[np.float32]]:
    errors = _differences(entries, expected, where)
    if errors:
        raise CompileError(tuple(errors))
    tensors = {}
    for name in expected:
        data = entries[name].read()
        with np.errstate(over="ignore"):  # a float64 beyond fp32 becomes Inf, which validation refuses
            tensors[name] = np.array(data, dtype=np.float32)
    return tensors


def _differences(entries: Mapping[str, Entry], expected: Shapes, where: str) -> list[Diagnostic]:
    errors = []
    for name, shape in expected.items():
        if name not in entries:
            near = near_match(name, entries)
            hint = f"did you mean '{shown(near)}'? " if near else ""
            errors.append(
                Diagnostic(
                    "E303",
                    f"{where}: tensor '{name}' {list(shape)} is missing",
                    help=f"{hint}it holds {_listed(entries)}",
                )
            )
        elif entries[name].dtype not in ACCEPTED_TYPES:
            errors.append(
                Diagnostic(
                    "E306",
                    f"{where}: tensor '{name}' has type {entries[name].dtype}, which is not read",
                    help=f"convert it to one of {', '.join(sorted(ACCEPTED_TYPES))}",
                )
            )
        elif entries[name].shape != shape:
            errors.append(
                Diagnostic(
                    "E305",
                    f"{where}: tensor '{name}' has shape {list(entries[name].shape)}, expected {list(shape)}",
                    help="sizes come from the model block, or from --size NAME=VALUE",
                )
            )
    for name in entries:
        if name not in expected:
            near = near_match(name, expected)
            hint = f"did you mean '{near}'? " if near else ""
            errors.append(
                Diagnostic(
                    "E304",
                    f"{where}: unexpected tensor '{shown(name)}'",
                    help=f"{hint}the cell reads {_listed(expected)}",
                )
            )
    return errors


def _listed(names: Mapping[str, Any]) -> str:
    first = [shown(name) for name in list(names)[:12]]
    return ", ".join(first) + (", ..." if len(names) > len(first) else "") if first else "nothing"


def _npz_entries(archive: zipfile.ZipFile) -> dict[str, Entry]:
    entries = {}
    for info in archive.infolist():
        member_name = shown(info.filename)
        if not info.filename.endswith(".npy"):
            raise ValueError(f"member '{member_name}' is not an array")
        if info.compress_type not in _COMPRESSIONS:
            raise ValueError(f"member '{member_name}' is compressed in another way than NumPy's")
        with archive.open(info) as member:
            version = npy.read_magic(member)
            if version != (1, 0):  # later ones exist for record types, and let a header claim 4 GiB
                raise ValueError(f"member '{member_name}' has .npy version {version}, expected (1, 0)")
            try:
                shape, _, dtype = npy.read_array_header_1_0(member)
            except MemoryError as error:  # how Python's parser says that a literal is too deep
                raise ValueError(f"member '{member_name}' has too deep a header") from error
        name = info.filename.removesuffix(".npy")
        if name in entries:
            raise ValueError(f"it holds two arrays called '{shown(name)}'")
        entries[name] = Entry(
            tuple(shape), "object" if dtype.hasobject else str(dtype), _npy_reader(archive, info)
        )
    return entries


def _npy_reader(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Callable[[], NDArray[Any]]:
    def read() -> NDArray[Any]:
        with archive.open(info) as member:
            array: NDArray[Any] = npy.read_array(member, allow_pickle=False)
            if member.read(1):  # reading to the end also checks the checksum
                raise ValueError(f"member '{shown(info.filename)}' goes on behind its array")
            return array

    return read


def _safetensors_entries(file: BinaryIO) -> dict[str, Entry]:
    (length,) = struct.unpack("<Q", file.read(8))
    size = file.seek(0, 2)
    if length > min(_MAX_HEADER_BYTES, size - 8):
        raise ValueError(f"the header claims {length} bytes, the file has {size}")
    file.seek(8)
    header = json.loads(file.read(length), object_pairs_hook=_without_duplicates)
    start = 8 + length
    entries = {}
    places = []
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        first, last = (_whole(n) for n in entry["data_offsets"])
        dtype = _SAFETENSORS.get(entry["dtype"], str(entry["dtype"]))
        shape = tuple(_whole(n) for n in entry["shape"])
        if not 0 <= first <= last <= size - start:
            raise ValueError(f"tensor '{shown(name)}' lies outside the file")
        places.append((first, last))
        entries[name] = Entry(
            shape, dtype, _safetensor_reader(file, start + first, last - first, dtype, shape)
        )
    places.sort()
    ends = [0, *(last for _, last in places)]
    if ends != [*(first for first, _ in places), size - start]:  # as the format demands
        raise ValueError("its tensors overlap, or leave bytes of the file to nobody")
    return entries


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise ValueError(f"its header has {value!r} where a whole number belongs")
    return value


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("its header holds a name twice")
    return found


def _safetensor_reader(
    file: BinaryIO, at: int, size: int, dtype: str, shape: tuple[int, ...]
) -> Callable[[], NDArray[Any]]:
    def read() -> NDArray[Any]:
        kind = np.dtype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
        file.seek(at)
        data = file.read(size)
        if len(data) != int(np.prod(shape)) * kind.itemsize:
            raise ValueError("a tensor's data does not have the size of its shape")
        return np.frombuffer(data, kind).reshape(shape)

    return read
