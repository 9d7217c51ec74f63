"""Plan: every decision about a kernel as data. The template prints it, the interpreter runs it."""

from __future__ import annotations

from dataclasses import dataclass

from sprnnc.cell.ir import DType
from sprnnc.schedule.choices import Choices, Encoding, Tier


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of slots of one row in one tier; ``first`` counts the warp's slots in that tier."""

    tier: Tier
    first: int
    slots: int


@dataclass(frozen=True, slots=True)
class RowGroup:
    """Consecutive rows of a warp with the same segments.

    Row ``i`` of the group has rank ``first_rank + i``; its part of segment ``s`` starts
    ``i * s.slots`` slots after ``s.first``. Only rows with at most one segment are grouped.
    """

    first_rank: int
    rows: int
    segments: tuple[Segment, ...]

    @property
    def slots(self) -> int:
        """Slots of one row."""
        return sum(s.slots for s in self.segments)


@dataclass(frozen=True, slots=True)
class SpacePlan:
    """Units of one space: a thread owns ``items`` pairs (unit, batch column) of its block."""

    name: str
    size: int
    units_per_block: int
    items: int


@dataclass(frozen=True, slots=True)
class PhasePlan:
    """One exchange and the products after it. Offsets are bytes into the block's shared memory.

    The operand lies in shared memory as [groups][positions][column_width] columns, where
    ``positions`` is ``columns`` plus zeroed ones (the null position first); an exchange slot in
    global memory is the same without the zeroed ones. It is copied in chunks of ``chunk_bytes``.
    """

    index: int
    columns: int
    positions: int
    chunk_bytes: int
    rows: int
    row_groups: tuple[RowGroup, ...]
    register_slots: int
    shared_slots: int
    streamed_slots: int
    operand_at_bytes: int
    totals_at_bytes: int
    slots_at_bytes: int
    nonzeros: int

    @property
    def slots(self) -> int:
        """Slots of one warp, all tiers together."""
        return self.register_slots + self.shared_slots + self.streamed_slots


@dataclass(frozen=True, slots=True)
class Plan:
    """A kernel, decided. ``batch`` columns are padded to ``groups`` x ``column_width``."""

    target: str
    dtype: DType
    accumulate: DType
    batch: int
    choices: Choices
    encoding: Encoding
    groups: int
    spaces: tuple[SpacePlan, ...]
    phases: tuple[PhasePlan, ...]
    shared_bytes: int

    @property
    def width(self) -> int:
        return self.choices.column_width.value

    @property
    def padded_batch(self) -> int:
        return self.groups * self.width

    @property
    def row_bytes(self) -> int:
        """Bytes of one operand position: one load."""
        return self.width * self.dtype.size_bytes

    def exchange_bytes(self, phase: PhasePlan) -> int:
        """Bytes that one step of ``phase`` moves through global memory to every block."""
        return self.groups * phase.columns * self.row_bytes

    def space(self, name: str) -> SpacePlan:
        return next(s for s in self.spaces if s.name == name)
