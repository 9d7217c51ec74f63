"""Export model: what the templates of an export print, with nothing left to decide."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """``NAME = VALUE,  // TEXT`` of the C API; ``text`` is also what the API says of it."""

    name: str
    value: int
    text: str


@dataclass(frozen=True, slots=True)
class WeightPart:
    """A constant buffer: where it lies in the weights."""

    name: str
    ctype: str
    offset: int
    size_bytes: int
    comment: str


@dataclass(frozen=True, slots=True)
class WorkPart:
    """A buffer that the model owns besides its weights; ``size`` is C for its bytes, from ``steps``."""

    name: str
    ctype: str
    size: str
    comment: str


@dataclass(frozen=True, slots=True)
class StatePart:
    """A state: its name in the cell, the buffer that holds it, values a column and in all, and bytes."""

    name: str
    field: str
    size: int
    values: int
    bytes: int


@dataclass(frozen=True, slots=True)
class StatusPart:
    """The words that a kernel gives up with; every launch has its own."""

    name: str
    ctype: str
    words: int


@dataclass(frozen=True, slots=True)
class FillCall:
    """``fill(PLACE, BYTE, SIZE)``, before the kernels of every chunk."""

    place: str
    byte: str
    size: str
    comment: str


@dataclass(frozen=True, slots=True)
class LaunchCall:
    """``CALL(KERNEL, GRID, BLOCK, SHARED, {ARGUMENTS})``; ``together``: C for whether it is cooperative."""

    call: str
    kernel: str
    grid: int
    block: int
    shared_bytes: int
    together: str
    arguments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ExportModel:
    """One exported model.

    ``embedded``: lines of weights inside the source, none where they lie beside it. ``x_step`` and
    ``y_step``: values from one step of the caller's arrays to the next. ``unused``: parameters of a chunk
    that no kernel takes.
    ``lengths``: the pointer that the caller may set, none where kernels take no lengths.
    """

    name: str
    title: str
    compiler: str
    arch: str
    cmake_arch: str
    batch: int
    inputs: str
    input_size: int
    output_size: int
    x_step: int
    y_step: int
    steps_per_launch: int
    launches: int
    budget_ns: int
    budget_spent: int
    alignment: int
    kernel_source: str
    main_kernel: str
    weights_file: str
    weight_bytes: int
    weight_checksum: int
    embedded: tuple[str, ...]
    errors: tuple[ErrorCode, ...]
    states: tuple[StatePart, ...]
    weights: tuple[WeightPart, ...]
    work: tuple[WorkPart, ...]
    status: StatusPart | None
    unused: tuple[str, ...]
    lengths: tuple[str, ...]
    fills: tuple[FillCall, ...]
    launches_of_chunk: tuple[LaunchCall, ...]

    @property
    def calls(self) -> frozenset[str]:
        """Functions that launch: C warns of one that is never called."""
        return frozenset(launch.call for launch in self.launches_of_chunk)


@dataclass(frozen=True, slots=True)
class SelfTest:
    """The built-in test vector: a generator of inputs, and what the reference gives for them.

    ``expected``: lines of float32 literals, [steps, batch, output size].
    """

    steps: int
    tolerance: float
    seed: int
    multiplier: int
    increment: int
    expected: tuple[str, ...]
