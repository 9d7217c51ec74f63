"""What an artifact's bytes hold, for a device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sprnn_runtime import container
from sprnn_runtime.manifest import Buffer, Manifest, Role

Array = NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """The contents of an artifact that a device needs."""

    manifest: Manifest
    source: str
    cubin: bytes | None
    constants: Mapping[str, Array]


def read(data: bytes, where: str) -> Loaded:
    """Contents of an artifact's bytes. Raises ArtifactError for anything that is not as written."""
    return read_members(*container.unpack(data, where), where)


def read_members(json: Mapping[str, Any], members: Mapping[str, bytes], where: str) -> Loaded:
    """The same of an artifact that is unpacked already."""
    manifest = Manifest.from_json(json)
    try:
        source = members["kernel.cu"].decode()
        constants = read_constants(manifest, members, where)
    except KeyError as error:
        raise container.damaged(where, f"member {error} is missing") from error
    except UnicodeDecodeError as error:
        raise container.damaged(where, f"its kernel is not text: {error}") from error
    return Loaded(manifest, source, members.get(f"kernel.{manifest.arch}.cubin"), constants)


def read_constants(manifest: Manifest, members: Mapping[str, bytes], where: str) -> dict[str, Array]:
    """What every buffer of that role holds. Raises KeyError for a member that is missing."""
    return {b.name: _constant(b, members, where) for b in manifest.buffers if b.role is Role.CONSTANT}


def _constant(buffer: Buffer, members: Mapping[str, bytes], where: str) -> Array:
    array = container.array_from_bytes(members[buffer.member], where)
    if array.shape != buffer.dims(0) or array.dtype != np.dtype(buffer.dtype):
        raise container.damaged(where, f"{buffer.member} is {array.dtype} {list(array.shape)}")
    return array
