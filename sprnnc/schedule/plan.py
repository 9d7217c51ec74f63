"""Plan: every decision about a kernel as data. The template prints it, the interpreter runs it."""

from __future__ import annotations

from dataclasses import dataclass

from sprnnc.cell.ir import DType
from sprnnc.layout.tile import Tile
from sprnnc.schedule.choices import Choices, Encoding, Tier, Unpack
from sprnnc.schedule.slot_format import SlotFormat


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of a bundle's slots in one tier; ``first`` counts a lane's words in that tier."""

    tier: Tier
    first: int
    slots: int


@dataclass(frozen=True, slots=True)
class RowGroup:
    """Bundles of consecutive items of one product with the same segments.

    Bundle ``i`` has item ``first_item + i``; its part of a segment follows those of the bundles before it.
    Only bundles with at most one segment are grouped. The first ``warps`` warps have such a bundle; every
    one of them needs at least ``sure`` of its slots.
    """

    product: int
    first_item: int
    items: int
    warps: int
    sure: int
    segments: tuple[Segment, ...]

    @property
    def slots(self) -> int:
        """Slots of one bundle."""
        return sum(s.slots for s in self.segments)


@dataclass(frozen=True, slots=True)
class SpacePlan:
    """Units of one space: a lane owns ``items`` pairs (unit, batch column), ``groups`` of each unit.

    ``lanes_per_row`` lanes share the rows of ``rows`` consecutive units, and the first ``column_width`` of
    them own the first, the next ones the second and so on. ``warps`` own a unit at all, the first ones.
    """

    name: str
    size: int
    lanes_per_row: int
    rows: int
    units_per_lane: int
    items: int
    warps: int

    @property
    def places(self) -> int:
        """Units of one bundle."""
        return 32 // self.lanes_per_row * self.rows


@dataclass(frozen=True, slots=True)
class PhasePlan:
    """One exchange and the products after it. Offsets are bytes into the block's shared memory.

    Or, ``joined``, products of vectors that a kernel before the loop has laid out, a slot like those of an
    exchange for every step: one courier copies the next step's while the block works, or each thread a part.
    The operand lies in shared memory as [groups][positions][column_width] columns, where
    ``positions`` is ``columns`` plus zeroed ones (the null positions first); an exchange slot in
    global memory is the same without the zeroed ones. It is copied in chunks of ``chunk_bytes``, by
    ``couriers`` warps where the copy engine brings it. The first ``gather_warps`` warps gather.
    A slot says where its position lies as the position times ``position_step``: its offset in bytes, unless
    16 bits are too few for that.
    Slots and words counted here are those of one lane; words of a tier are whole 16 bytes a bundle, and of
    all registers. ``nonzeros`` include the zeros of tiles that hold any.
    """

    index: int
    columns: int
    positions: int
    position_step: int
    chunk_bytes: int
    couriers: int
    gather_warps: int
    row_groups: tuple[RowGroup, ...]
    register_slots: int
    shared_slots: int
    streamed_slots: int
    register_words: int
    shared_words: int
    streamed_words: int
    operand_at_bytes: int
    arrivals_at_bytes: int
    slots_at_bytes: int
    nonzeros: int
    joined: bool

    @property
    def slots(self) -> int:
        """Slots of one lane, all tiers together."""
        return self.register_slots + self.shared_slots + self.streamed_slots

    @property
    def lane_words(self) -> int:
        """Words of one lane's slots, all tiers together."""
        return self.register_words + self.shared_words + self.streamed_words

    @property
    def ranks(self) -> int:
        """Bundles of a warp that gathers everything."""
        return sum(g.items for g in self.row_groups)


@dataclass(frozen=True, slots=True)
class Plan:
    """A kernel, decided. ``batch`` columns are padded to ``groups`` x ``column_width``.

    ``unpack`` is never FITTING: that is decided here, and so is ``loads_in_flight``: slots on the chip
    whose operand columns a lane loads at once. ``tile``: the values of one slot. ``pins_lane``: whether the
    number of the lane has a register of its own.
    """

    target: str
    dtype: DType
    accumulate: DType
    batch: int
    choices: Choices
    encoding: Encoding
    tile: Tile
    unpack: Unpack
    loads_in_flight: int
    pins_lane: bool
    groups: int
    spaces: tuple[SpacePlan, ...]
    phases: tuple[PhasePlan, ...]
    shared_bytes: int
    flag_at_bytes: int

    @property
    def width(self) -> int:
        return self.choices.column_width.value

    @property
    def row_bytes(self) -> int:
        """Bytes of one operand position."""
        return self.width * self.dtype.size_bytes

    @property
    def exchanges(self) -> tuple[PhasePlan, ...]:
        """The phases that begin with an exchange."""
        return tuple(p for p in self.phases if not p.joined)

    @property
    def joined(self) -> PhasePlan | None:
        """The phase that multiplies inputs, where there is one."""
        return next((p for p in self.phases if p.joined), None)

    def exchange_bytes(self, phase: PhasePlan) -> int:
        """Bytes that one step of ``phase`` moves through global memory to every block."""
        return self.groups * phase.columns * self.row_bytes

    @property
    def slot_format(self) -> SlotFormat:
        return SlotFormat(self.encoding, self.dtype, self.tile)

    @property
    def chain_slots(self) -> int:
        """Slots whose additions two fp16 chains hold, every other one in turn."""
        return max(1, 2 * self.choices.chain.value // self.tile.columns)

    @property
    def load_bytes(self) -> int:
        """Bytes of one load of the operand: ``tile.run`` adjacent positions."""
        return self.row_bytes * self.tile.run

    def space(self, name: str) -> SpacePlan:
        return next(s for s in self.spaces if s.name == name)
