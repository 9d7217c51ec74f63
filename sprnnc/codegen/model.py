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
    """One kernel argument: its C type, its name, and the buffer (or ``$scalar``) bound to it."""

    ctype: str
    name: str
    buffer: str


@dataclass(frozen=True, slots=True)
class InputProductModel:
    """One kernel that multiplies an input by a matrix for all steps at once."""

    kernel: str
    functor: str
    equation: str
    arguments: tuple[Argument, ...]
    captured: tuple[Argument, ...]
    operand: str
    rows: int
    cols: int


@dataclass(frozen=True, slots=True)
class Load:
    """``u.FIELD = SOURCE;``"""

    field: str
    source: str


@dataclass(frozen=True, slots=True)
class Field:
    """Members of a unit's struct that share a type and a comment."""

    ctype: str
    names: tuple[str, ...]
    comment: str


@dataclass(frozen=True, slots=True)
class SpaceModel:
    """What a thread keeps for each of its (unit, column) pairs of one space."""

    name: str
    size: int
    units_per_block: int
    items: int
    table: str
    struct: str
    array: str
    fields: tuple[Field, ...]
    table_columns: int
    totals: tuple[Load, ...]
    parameters: tuple[Load, ...]
    states: tuple[Load, ...]
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
class SegmentModel:
    """One call that gathers a run of slots."""

    tier: str
    first: int
    slots: int


@dataclass(frozen=True, slots=True)
class RowGroupModel:
    """A loop over rows of equal shape."""

    first_rank: int
    rows: int
    segments: tuple[SegmentModel, ...]
    comment: str


@dataclass(frozen=True, slots=True)
class PhaseModel:
    """One exchange and its products."""

    index: int
    title: str
    chunk_words: int
    slots: int
    register_slots: int
    shared_slots: int
    streamed_slots: int
    operand_at: int
    totals_at: int
    slots_at: int
    row_groups: tuple[RowGroupModel, ...]
    publications: tuple[Publication, ...]


@dataclass(frozen=True, slots=True)
class LevelModel:
    """The equations that follow a phase (none before the first)."""

    phase: PhaseModel | None
    loops: tuple[SpaceLoop, ...]


@dataclass(frozen=True, slots=True)
class KernelModel:
    """A whole source file."""

    banner: tuple[str, ...]
    helpers: tuple[tuple[str, str], ...]
    storage: str
    slot: str
    sums: str
    lamport: bool
    constants: tuple[Constant, ...]
    input_products: tuple[InputProductModel, ...]
    spaces: tuple[SpaceModel, ...]
    phases: tuple[PhaseModel, ...]
    levels: tuple[LevelModel, ...]
    final_loops: tuple[SpaceLoop, ...]
    arguments: tuple[Argument, ...]
    final_states: tuple[SpaceLoop, ...]
