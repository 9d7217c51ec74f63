"""The artifact file: a stored zip with checksums. Written whole or not at all, read with distrust."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from sprnn_runtime.errors import ArtifactError, SprnnError

SUFFIX = ".sprnnx"
MANIFEST = "manifest.json"
_EPOCH = (1980, 1, 1, 0, 0, 0)
_MAX_BYTES = 8 << 30
# What NumPy's header parser, which evaluates a literal, makes of a forged header.
NOT_AN_ARRAY = (
    ValueError,
    EOFError,
    SyntaxError,
    TokenError,
    TypeError,
    MemoryError,
    OverflowError,
    RecursionError,
)


def pack(manifest: Mapping[str, Any], members: Mapping[str, bytes]) -> bytes:
    """The bytes of an artifact. The same contents give the same bytes on every machine."""
    files = {name: hashlib.sha256(data).hexdigest() for name, data in members.items()}
    text = json.dumps({**manifest, "files": files}, indent=1, sort_keys=True)
    body = {**members, MANIFEST: text.encode()}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(body):
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), body[name])
    data = buffer.getvalue()
    return data + hashlib.sha256(data).digest()


def unpack(data: bytes, where: str) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Manifest and members. Raises ArtifactError E603 if any byte is not as it was written."""
    body, digest = data[:-32], data[-32:]
    if hashlib.sha256(body).digest() != digest:
        raise damaged(where, "its checksum does not match its contents: it is truncated or was changed")
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            members = {info.filename: _member(archive, info) for info in archive.infolist()}
        manifest = json.loads(members.pop(MANIFEST))
        declared = dict(manifest["files"])
    except (
        zipfile.BadZipFile,
        EOFError,
        OSError,
        KeyError,
        ValueError,
        TypeError,
        RuntimeError,  # an encrypted member, a feature that zipfile lacks, nesting without end
    ) as error:
        raise damaged(where, str(error)) from error
    found = {name: hashlib.sha256(content).hexdigest() for name, content in members.items()}
    if found != declared:
        names = sorted(n for n in found.keys() | declared.keys() if found.get(n) != declared.get(n))
        raise damaged(where, f"these members are not what the manifest says: {', '.join(names)}")
    return manifest, members


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
        raise ValueError(f"member '{info.filename}' is compressed")
    return archive.read(info)


def damaged(where: str, why: str) -> ArtifactError:
    return ArtifactError("E603", f"{where} is not a usable artifact: {why}", "compile it again")


def read_file(path: Path) -> bytes:
    """The bytes of an artifact file. Raises ArtifactError E602 where it cannot be read."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise damaged(str(path), f"it is larger than {_MAX_BYTES} bytes")
        return path.read_bytes()
    except OSError as error:
        raise ArtifactError(
            "E602", f"cannot read artifact {path}: {error}", "sprnnc compile FILE -o ARTIFACT makes one"
        ) from error


def check_writable(path: Path) -> None:
    """Raises SprnnError E605 where ``write_file`` would, so that long work is not done in vain."""
    try:
        if _is_special(path):
            if not os.access(path, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            return
        with tempfile.TemporaryFile(dir=_target(path).parent):
            pass
    except OSError as error:
        raise _cannot_write(path, error) from error


def write_file(path: Path, data: bytes) -> None:
    """Writes ``data`` to ``path`` whole or not at all. Raises SprnnError E605 where it cannot.

    A link is followed, and keeps being one. A device or a FIFO is written straight into.
    """
    try:
        if _is_special(path):
            path.write_bytes(data)
        else:
            _replace(_target(path), data)
    except OSError as error:
        raise _cannot_write(path, error) from error


def _is_special(path: Path) -> bool:
    """Whether ``path`` is a device, a FIFO or the like: something that must not be replaced by a file."""
    return path.exists() and not path.is_file() and not path.is_dir()


def _target(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _replace(path: Path, data: bytes) -> None:
    """Writes beside ``path``, then renames: a reader finds the old file or the new one."""
    temporary = path.with_name(f".{path.name[:40]}.{os.urandom(8).hex()}")
    try:
        with temporary.open("xb") as file:  # its mode is what the umask says
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            os.chmod(temporary, path.stat().st_mode & 0o777)
        os.replace(temporary, path)
    except BaseException:  # an interrupt leaves nothing behind either
        temporary.unlink(missing_ok=True)
        raise


def _cannot_write(path: Path, error: OSError) -> SprnnError:
    return SprnnError("E605", f"cannot write {path}: {error}", "nothing was written; choose another folder")


def array_bytes(array: NDArray[Any]) -> bytes:
    """An array as .npy bytes; never pickled."""
    buffer = io.BytesIO()
    npy.write_array(buffer, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
    return buffer.getvalue()


def array_from_bytes(data: bytes, where: str) -> NDArray[Any]:
    """The inverse. Raises ArtifactError E603 for anything else; allocates no more than ``data`` holds."""
    try:
        stream = io.BytesIO(data)
        if npy.read_magic(stream) != (1, 0):
            raise ValueError("an array is not of .npy version 1.0")
        shape, column_major, dtype = npy.read_array_header_1_0(stream)
        if column_major:
            raise ValueError("an array is not in C order")
        return np.frombuffer(data, dtype, offset=stream.tell()).reshape(shape).copy()
    except NOT_AN_ARRAY as error:
        raise damaged(where, str(error)) from error
