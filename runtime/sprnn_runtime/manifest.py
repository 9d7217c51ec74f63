"""The manifest: one description of buffers and launches that every device follows."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from sprnn_runtime.errors import ArtifactError

VERSION = (1, 2)
_MAX_NUMBER = (1 << 31) - 1  # kernels count in 32 bits
_MAX_VALUES = 1 << 40
_MOST_LATE = 1 << 16  # iterations of a kernel beside its steps
_MAX_BLOCKS, _MAX_THREADS, _MAX_DEVICES = 1 << 16, 1024, 64
TIME = "T"
STEPS, BUDGET, BATCH, FIRST = "$steps", "$budget_ns", "$batch", "$first"
DEFAULT_BUDGET_NS = 2_000_000_000  # wall time that one wait inside a kernel may take on a GPU


class Role(Enum):
    """Who fills a buffer and who reads it."""

    CONSTANT = "constant"
    INPUT = "input"
    OUTPUT = "output"
    STATE = "state"
    LENGTHS = "lengths"
    RESETS = "resets"
    SCRATCH = "scratch"
    STATUS = "status"


class Fill(Enum):
    """What a buffer holds before every launch."""

    ONES = "ones"
    ZEROS = "zeros"

    @property
    def byte(self) -> int:
        """What every byte is set to."""
        return 0xFF if self is Fill.ONES else 0


@dataclass(frozen=True, slots=True)
class Vector:
    """A named input or state and its size."""

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Buffer:
    """Device memory; a dimension ``T`` is the number of steps of a launch, and ``T+2`` two more.

    ``split``: of several devices, each holds its part of the first dimension and no other.
    """

    name: str
    role: Role
    dtype: str
    shape: tuple[int | str, ...]
    fill: Fill | None = None
    state: str = ""
    member: str = ""
    split: bool = False

    def dims(self, steps: int) -> tuple[int, ...]:
        """The shape for a launch of ``steps`` steps."""
        return tuple(d if isinstance(d, int) else steps + _more(d) for d in self.shape)

    def dims_of(self, batch: int, steps: int) -> tuple[int, ...]:
        """The shape of a caller's array of ``batch`` columns: an input, output or state."""
        dims = self.dims(steps)
        return (*dims[:-2], batch, dims[-1])

    def bytes(self, steps: int) -> int:
        return int(np.prod(self.dims(steps), dtype=np.int64)) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True, slots=True)
class Gemm:
    """What a kernel computes, where that is one dense product: a library may compute it instead.

    ``product`` float32 [T, B, rows] = ``cols`` values, from ``first`` on, of ``operand`` float32
    [T, B, stride], times ``weight`` [rows, cols] transposed, which holds bits of the artifact's dtype, two
    16-bit values a word.
    """

    weight: str
    operand: str
    product: str
    rows: int
    cols: int
    first: int
    stride: int


@dataclass(frozen=True, slots=True)
class Kernel:
    """One launch: arguments are buffer names, or numbers of the call.

    ``$steps``, ``$batch`` (the columns of this call) and ``$first`` (steps before this chunk) are int32,
    ``$budget_ns`` uint64. A buffer of lengths may be a null pointer: every column takes all steps. So may one
    of resets: no state begins anew.
    Of several devices each is given buffers of its own; where a name ends with ``@0``, say, the first one's.
    """

    name: str
    grid: int
    block: int
    shared_bytes: int
    cooperative: bool
    args: tuple[str, ...]
    gemm: Gemm | None = None


def buffer_and_device(argument: str) -> tuple[str, int | None]:
    """The buffer that a kernel's argument names, and whose it is; None: that of the launching device."""
    name, at, device = argument.partition("@")
    return name, int(device) if at else None


@dataclass(frozen=True, slots=True)
class Resources:
    """What one kernel needs: registers a thread, shared memory a block, bytes spilled."""

    registers: int
    shared_bytes: int
    spill_bytes: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything about an artifact that is not an array, source or machine code.

    Each of ``devices`` launches every kernel, all of them at once; outputs and states are the first one's.
    """

    compiler: str
    name: str
    cell: str
    target: str
    arch: str | None
    dtype: str
    batch: int
    inputs: tuple[Vector, ...]
    states: tuple[Vector, ...]
    output_size: int
    steps_per_launch: int
    resources: Mapping[str, Resources]
    buffers: tuple[Buffer, ...]
    kernels: tuple[Kernel, ...]
    devices: int = 1

    @property
    def input_size(self) -> int:
        return sum(v.size for v in self.inputs)

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Manifest:
        """Reads a manifest; unknown fields are ignored, so a newer minor version still loads.

        Raises ArtifactError E606 for another format or major version, E603 for a malformed one.
        """
        version: Any = data.get("version")
        if data.get("format") != "sprnnx" or not _is_version(version):
            raise ArtifactError("E606", "this is not an sprnnc artifact")
        major = version[0]
        if major != VERSION[0]:
            raise ArtifactError(
                "E606",
                f"artifact format {major} is not the {VERSION[0]} that this runtime reads",
                "compile it again, or install the matching sprnnc",
            )
        try:
            return _manifest(data)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ArtifactError("E603", f"malformed manifest: {error!r}", "compile it again") from error

    def to_json(self) -> dict[str, Any]:
        """The inverse of ``from_json``, without the checksums, which the container adds."""
        data: dict[str, Any] = dataclasses.asdict(self, dict_factory=_plain)
        return {"format": "sprnnx", "version": list(VERSION), **data}


def _is_version(value: Any) -> bool:
    """Whether ``value`` is a list of major and minor: two whole numbers."""
    return isinstance(value, list) and len(value) == 2 and all(type(v) is int and v >= 0 for v in value)


def _plain(items: list[tuple[str, Any]]) -> dict[str, Any]:
    return {name: value.value if isinstance(value, Enum) else value for name, value in items}


def _manifest(data: Mapping[str, Any]) -> Manifest:
    manifest = Manifest(
        compiler=str(data["compiler"]),
        name=str(data["name"]),
        cell=str(data["cell"]),
        target=str(data["target"]),
        arch=None if data["arch"] is None else str(data["arch"]),
        dtype=str(data["dtype"]),
        batch=_positive(data["batch"]),
        inputs=tuple(Vector(str(v["name"]), _positive(v["size"])) for v in data["inputs"]),
        states=tuple(Vector(str(v["name"]), _positive(v["size"])) for v in data["states"]),
        output_size=_positive(data["output_size"]),
        steps_per_launch=_positive(data["steps_per_launch"]),
        resources={
            str(k): Resources(*(_whole(r[n]) for n in ("registers", "shared_bytes", "spill_bytes")))
            for k, r in data["resources"].items()
        },
        buffers=tuple(_buffer(b) for b in data["buffers"]),
        kernels=tuple(_kernel(k) for k in data["kernels"]),
        devices=_positive(data.get("devices", 1), _MAX_DEVICES),
    )
    _check_callers(manifest)
    names = [b.name for b in manifest.buffers]
    known = {STEPS, BUDGET, BATCH, FIRST, *names}
    known |= {f"{name}@{device}" for name in names for device in range(manifest.devices)}
    for kernel in manifest.kernels:
        missing = [a for a in kernel.args if a not in known]
        if missing:
            raise ValueError(f"kernel {kernel.name} has unknown arguments {missing}")
        if kernel.gemm:
            _check_gemm(kernel.gemm, kernel, manifest)
    if uneven := [b.name for b in manifest.buffers if b.split and int(b.dims(1)[0]) % manifest.devices]:
        raise ValueError(f"{uneven} cannot be split over {manifest.devices} devices")
    _require_unique([b.name for b in manifest.buffers])
    _require_unique([k.name for k in manifest.kernels])
    return manifest


def _buffer(data: Mapping[str, Any]) -> Buffer:
    shape = tuple(_dimension(d) for d in data["shape"])
    fill = None if data.get("fill") is None else Fill(data["fill"])
    if np.dtype(data["dtype"]).hasobject:
        raise ValueError("a buffer holds objects")
    buffer = Buffer(
        str(data["name"]),
        Role(data["role"]),
        str(data["dtype"]),
        shape,
        fill,
        str(data.get("state", "")),
        str(data.get("member", "")),
        _truth(data.get("split", False)),
    )
    if math.prod(buffer.dims(1)) > _MAX_VALUES:
        raise ValueError(f"buffer {buffer.name} has more than {_MAX_VALUES} values a step")
    return buffer


def _dimension(value: Any) -> int | str:
    """A number, or of a launch's steps: ``T``, ``T+2``."""
    if not isinstance(value, str):
        return _positive(value)
    if value != TIME and value != f"{TIME}+{_positive(_more(value), _MOST_LATE)}":
        raise ValueError(f"{value!r} is no dimension")
    return value


def _more(dimension: str) -> int:
    """2 of ``T+2``."""
    _, _, more = dimension.partition("+")
    return int(more) if more else 0


def _kernel(data: Mapping[str, Any]) -> Kernel:
    name = str(data["name"])
    if not name.isidentifier():
        raise ValueError(f"kernel name {name!r} is not an identifier")
    return Kernel(
        name,
        _positive(data["grid"], _MAX_BLOCKS),
        _positive(data["block"], _MAX_THREADS),
        _whole(data["shared_bytes"]),
        _truth(data["cooperative"]),
        tuple(str(a) for a in data["args"]),
        None if data.get("gemm") is None else _gemm(data["gemm"]),
    )


def _gemm(data: Mapping[str, Any]) -> Gemm:
    return Gemm(
        weight=str(data["weight"]),
        operand=str(data["operand"]),
        product=str(data["product"]),
        rows=_positive(data["rows"]),
        cols=_positive(data["cols"]),
        first=_whole(data["first"]),
        stride=_positive(data["stride"]),
    )


def _check_callers(manifest: Manifest) -> None:
    """A caller's arrays are read and written by these shapes."""
    shapes: dict[Role, set[tuple[int | str, ...]]] = {
        Role.INPUT: {(TIME, manifest.batch, manifest.input_size)},
        Role.OUTPUT: {(TIME, manifest.batch, manifest.output_size)},
        Role.STATE: {(manifest.batch, s.size) for s in manifest.states},
        Role.LENGTHS: {(manifest.batch,)},
        Role.RESETS: {(TIME, manifest.batch)},
    }
    dtypes = {Role.LENGTHS: "int32", Role.RESETS: "uint8"}
    for b in manifest.buffers:
        dtype = dtypes.get(b.role, "float32")
        if b.role in shapes and (b.shape not in shapes[b.role] or b.dtype != dtype):
            raise ValueError(f"buffer {b.name} is no {b.role.value} of this cell")


def _check_gemm(gemm: Gemm, kernel: Kernel, manifest: Manifest) -> None:
    """A library writes where the numbers say: they must be those of buffers that the kernel is given."""
    by_name = {b.name: b for b in manifest.buffers if b.name in kernel.args}
    weight, operand, product = (by_name[n] for n in (gemm.weight, gemm.operand, gemm.product))
    words = gemm.cols if manifest.dtype == "fp32" else -(-gemm.cols // 2)
    expected = (
        (weight, Role.CONSTANT, "uint32", (gemm.rows, words)),
        (operand, Role.INPUT, "float32", (TIME, manifest.batch, manifest.input_size)),
        (product, Role.SCRATCH, "float32", (TIME, manifest.batch, gemm.rows)),
    )
    fits = all((b.role, b.dtype, b.shape) == tuple(want) for b, *want in expected)
    if not fits or gemm.stride != manifest.input_size or gemm.first + gemm.cols > gemm.stride:
        raise ValueError(f"kernel {kernel.name} is no product of its buffers")


def _whole(value: Any, least: int = 0, most: int = _MAX_NUMBER) -> int:
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"expected a whole number from {least} to {most}, got {value!r}")
    return value


def _positive(value: Any, most: int = _MAX_NUMBER) -> int:
    return _whole(value, 1, most)


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"expected true or false, got {value!r}")
    return value


def _require_unique(names: list[str]) -> None:
    if len(set(names)) < len(names):
        raise ValueError(f"a name stands twice among {names}")
