"""Kernel model: what the template prints, with nothing left to decide."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Constant:
    """``constexpr int NAME = VALUE;  // COMMENT``"""

    name: str
    value: int
    comment: str


@dataclass(frozen=True, slots=True)
class Argument:
    """One kernel argument: its C type, its name, and the buffer (or ``$scalar``) bound to it.

    ``BUFFER@0`` is that of the first of several devices, whichever device launches.
    """

    ctype: str
    name: str
    buffer: str


@dataclass(frozen=True, slots=True)
class Copies:
    """``buffer`` of every device, and the kernel's arguments for them, device by device."""

    buffer: str
    arguments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OperandModel:
    """A functor that evaluates an operand made of inputs; ``value`` follows ``statements``."""

    functor: str
    captured: tuple[Argument, ...]
    statements: tuple[str, ...]
    value: str


@dataclass(frozen=True, slots=True)
class InputProductModel:
    """One kernel that multiplies an input by a matrix for all steps at once."""

    kernel: str
    equation: str
    arguments: tuple[Argument, ...]
    operand: OperandModel
    rows: int
    cols: int


@dataclass(frozen=True, slots=True)
class JoinedOperandModel:
    """One kernel that lays out ``cols`` of the ``length`` values of a joined phase's operand, every step."""

    kernel: str
    equation: str
    arguments: tuple[Argument, ...]
    operand: OperandModel
    cols: int
    length: str


@dataclass(frozen=True, slots=True)
class Load:
    """``u.FIELD = SOURCE;``; an input's source some steps on is ``later``."""

    field: str
    source: str
    later: str = ""


@dataclass(frozen=True, slots=True)
class Field:
    """Members of a unit's struct that share a type and a comment."""

    ctype: str
    names: tuple[str, ...]
    comment: str


@dataclass(frozen=True, slots=True)
class SpaceModel:
    """What a lane keeps for each of its (unit, column) pairs of one space; ``guard`` limits its warps.

    ``place_of_lane``: place of a lane's unit within a bundle; the first ``owners`` lanes of a row own one.
    """

    name: str
    size: int
    items: int
    guard: str
    table: str
    table_size: int
    places: int
    lanes_constant: str
    place_of_lane: str
    owners: str
    struct: str
    array: str
    fields: tuple[Field, ...]
    parameters: tuple[Load, ...]
    states: tuple[Load, ...]
    zeroed: tuple[str, ...]
    inputs: tuple[Load, ...]


@dataclass(frozen=True, slots=True)
class SpaceLoop:
    """Statements for every (unit, column) that a thread owns in one space."""

    space: SpaceModel
    statements: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Publication:
    """One vector's part of an exchange slot; ``row`` is the row of a unit's column group."""

    space: SpaceModel
    name: str
    value: str
    row: str


@dataclass(frozen=True, slots=True)
class GatherCall:
    """One call that gathers a run of slots: ``FUNCTION(sums, ARGUMENTS, OPERAND)``."""

    function: str
    arguments: str
    operand: str


@dataclass(frozen=True, slots=True)
class RowGroupModel:
    """A loop over bundles of equal shape; ``i`` counts them. ``guard`` limits its warps."""

    items: int
    guard: str
    calls: tuple[GatherCall, ...]
    lanes_constant: str
    total: str
    comment: str


@dataclass(frozen=True, slots=True)
class Total:
    """Row totals of one product: ``float NAME[ITEMS]``."""

    name: str
    items: int


@dataclass(frozen=True, slots=True)
class PhaseModel:
    """One exchange and its products, or those of the inputs, which have no publications.

    ``chunks``: the C type of what a thread copies of the inputs; ``step_words``: words of one step's operand.
    ``slot_to_publish`` and ``counter``: the first arguments of what publishes a value and counts a block in.
    """

    index: int
    title: str
    chunk_words: int
    polls: str
    couriers: int
    gather_warps: str
    guard: str
    ranks: int
    counts_slots: bool
    register_words: int
    shared_words: int
    streamed_words: int
    ahead: int
    operand_at: int
    arrivals_at: int
    slots_at: int
    slots: int
    slot: str
    totals: tuple[Total, ...]
    row_groups: tuple[RowGroupModel, ...]
    publications: tuple[Publication, ...]
    chunks: str
    step_words: str
    slot_to_publish: str
    counter: str


@dataclass(frozen=True, slots=True)
class LevelModel:
    """The equations that follow a phase (none before the first)."""

    phase: PhaseModel | None
    loops: tuple[SpaceLoop, ...]


@dataclass(frozen=True, slots=True)
class KernelModel:
    """A whole source file. ``sums``: the C type of a lane's sums of a row; ``fetches``: a unit has inputs.

    ``copied``: buffers of which a kernel for several devices is given everybody's, besides its device's own.
    """

    banner: tuple[str, ...]
    helpers: tuple[tuple[str, str], ...]
    storage: str
    sums: str
    flag_at: int
    late_io: bool
    lag: int
    fetches: bool
    lamport: bool
    keeps_packed: bool
    pins_lane: bool
    constants: tuple[Constant, ...]
    input_products: tuple[InputProductModel, ...]
    joined_operands: tuple[JoinedOperandModel, ...]
    joined: PhaseModel | None
    spaces: tuple[SpaceModel, ...]
    phases: tuple[PhaseModel, ...]
    levels: tuple[LevelModel, ...]
    reset_loops: tuple[SpaceLoop, ...]
    final_loops: tuple[SpaceLoop, ...]
    output_space: SpaceModel
    arguments: tuple[Argument, ...]
    copied: tuple[Copies, ...]
    final_states: tuple[SpaceLoop, ...]
