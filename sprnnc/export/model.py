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
    """A buffer that the model owns besides its weights; ``size`` is C for its bytes, from ``steps``.

    ``is_status``: a layer reports in it.
    """

    name: str
    ctype: str
    size: str
    comment: str
    is_status: bool = False


@dataclass(frozen=True, slots=True)
class StatePart:
    """A state: its name in C, the buffer that holds it, values in all, bytes, and what a reader may know."""

    name: str
    field: str
    values: int
    bytes: int
    comment: str


@dataclass(frozen=True, slots=True)
class StatusPart:
    """The words that a kernel gives up with; every launch has its own."""

    name: str
    ctype: str
    words: int
    comment: str


@dataclass(frozen=True, slots=True)
class FillCall:
    """``fill(PLACE, BYTE, SIZE)``, before the kernels of every chunk."""

    place: str
    byte: str
    size: str
    comment: str


@dataclass(frozen=True, slots=True)
class KernelPart:
    """A kernel: its name in C++ and in its module, where the driver's example keeps it, and its launch.

    ``module``: the part whose machine code holds it; ``together``: C for whether it is cooperative.
    """

    kernel: str
    name: str
    field: str
    module: str
    grid: int
    block: int
    shared_bytes: int
    together: str


@dataclass(frozen=True, slots=True)
class LaunchCall:
    """``CALL(KERNEL, GRID, BLOCK, SHARED, {ARGUMENTS})``; ``numbers``: those that never change."""

    call: str
    kernel: KernelPart
    arguments: tuple[str, ...]
    numbers: tuple[int, ...]
    comment: str


@dataclass(frozen=True, slots=True)
class ChunkFunction:
    """C that does one chunk of a layer, called ``layer`` in a network.

    ``unused``: its parameters that no kernel takes; ``takes_nothing``: whether a kernel takes a null pointer.
    ``status``: C for the words that its launches report in, empty where they report nothing.
    """

    name: str
    layer: str
    status: str
    unused: tuple[str, ...]
    takes_nothing: bool
    fills: tuple[FillCall, ...]
    launches: tuple[LaunchCall, ...]


@dataclass(frozen=True, slots=True)
class RunCall:
    """``run_layer(CHUNK, LONGEST, X_STEP, Y_STEP, m, SOURCE, TO, ...)``: a layer within a network."""

    chunk: str
    longest: int
    x_step: int
    y_step: int
    source: str
    to: str
    comment: str


@dataclass(frozen=True, slots=True)
class ModulePart:
    """Machine code of a file of its own: where a program keeps it, and its path."""

    field: str
    path: str


@dataclass(frozen=True, slots=True)
class ExportModel:
    """One exported model.

    ``embedded``: lines of weights inside the source, none where they lie beside it. ``x_step`` and
    ``y_step``: values from one step of the caller's arrays to the next.
    ``lengths``: the pointer that the caller may set, none where kernels take no lengths.
    ``program``: what a network does for as many steps as it has room for, ``whole_sequence`` if these must be
    all; empty for a layer alone, whose one chunk function is all. ``longest``: the most steps of each launch
    that reports a status.
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
    weights_file: str
    weight_bytes: int
    weight_checksum: int
    embedded: tuple[str, ...]
    errors: tuple[ErrorCode, ...]
    states: tuple[StatePart, ...]
    weights: tuple[WeightPart, ...]
    work: tuple[WorkPart, ...]
    status: StatusPart | None
    lengths: tuple[str, ...]
    kernels: tuple[KernelPart, ...]
    modules: tuple[ModulePart, ...]
    chunks: tuple[ChunkFunction, ...]
    program: tuple[LaunchCall | RunCall, ...]
    whole_sequence: bool
    longest: tuple[int, ...]

    @property
    def calls(self) -> frozenset[str]:
        """Functions that launch: C warns of one that is never called."""
        launches = [launch for chunk in self.chunks for launch in chunk.launches]
        launches += [step for step in self.program if isinstance(step, LaunchCall)]
        return frozenset(launch.call for launch in launches)

    @property
    def memory(self) -> tuple[WorkPart, ...]:
        """``work`` with one status for all launches, whichever layer's they are."""
        own = tuple(w for w in self.work if not w.is_status)
        if self.status is None:
            return own
        size = f"sizeof({self.status.ctype}) * {self.status.words} * {self.launches}"
        return (*own, WorkPart(self.status.name, self.status.ctype, size, self.status.comment, True))

    @property
    def fills(self) -> bool:
        """Whether anything is filled before a launch."""
        return any(chunk.fills for chunk in self.chunks)


@dataclass(frozen=True, slots=True)
class SelfTest:
    """The built-in test vector: a generator of inputs, and what the reference gives for them.

    ``value``: C for a float of the generator's ``word``, ``range`` in words; ``pattern``: of a number ``i``.
    ``expected``: lines of float32 literals, [steps, batch, output size].
    """

    steps: int
    tolerance: float
    seed: int
    multiplier: int
    increment: int
    value: str
    range: str
    pattern: str
    expected: tuple[str, ...]
