"""What the layout must know of the schedule, and its estimate of a gather's cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from sprnnc.layout.cycles import (
    BUNDLE_CYCLES,
    ISSUE_CYCLES,
    ROUND_CYCLES,
    SCHEDULERS,
    SHUFFLE_INSTRUCTIONS,
    STREAMED_CYCLES,
    GatherBounds,
    reduction_rounds,
    reduction_shuffles,
)
from sprnnc.layout.tile import ONE_VALUE, Tile

LANES = 32
LANES_PER_ROW = (1, 2, 4, 8, 16, 32)
# Slots that the longest bundle of a grid needs more than a typical one, for which memory must be there.
_RESERVE = 1.15
# A bank of a load group holds this many standard deviations more than the mean, after evening.
_BANK_EXCESS = 1.6


class BankOrder(Enum):
    """How the non-zeros of a load group are ordered into slots."""

    FOLDED = "folded"  # in the fewest slots, no bank busier than it must be
    COLOURED = "coloured"  # free of bank conflicts, in the fewest slots: an exact edge colouring
    GREEDY = "greedy"  # row by row, one non-zero of each bank in turn: the paper's baseline
    PLAIN = "plain"  # in column order


@dataclass(frozen=True, slots=True)
class Bundle:
    """What a warp gathers at once, in ``warps`` warps of a block: slots, and wavefronts of a column group."""

    warps: int
    slots: float
    wavefronts: float


@dataclass(frozen=True, slots=True)
class LayoutOptions:
    """``together``: lanes that one wavefront serves, 128 bytes by the width of a load.

    ``lanes_per_row``: None where the layout may choose. ``register_slots``: slots that a thread can
    hold in registers; the others cost a load of ``slot_words`` words each, from shared memory as far as
    ``shared_bytes`` are free.
    ``width`` and ``groups``: batch columns of a load, and loads a position. ``slot_instructions``:
    instructions that one slot costs a warp, and ``unpack_instructions`` more where unpacked slots do not
    fit into registers. ``even_banks``: whether units may move to even banks out.
    ``tile``: the values of a slot; the loads of its columns are what lanes do together.
    """

    warps: int
    together: int
    width: int
    groups: int
    bank_order: BankOrder
    even_banks: bool
    lanes_per_row: int | None
    register_slots: int
    shared_bytes: int
    slot_words: int
    slot_instructions: float
    unpack_instructions: int
    tile: Tile = ONE_VALUE

    @property
    def sums(self) -> int:
        """Sums of a row in each column group: a row's first lanes end with one each."""
        return self.tile.rows * self.width

    @property
    def candidates(self) -> tuple[int, ...]:
        """Lanes a row that may be considered: one for each of its sums at least."""
        if self.lanes_per_row is not None:
            return (max(self.lanes_per_row, self.sums),)
        return tuple(n for n in LANES_PER_ROW if n >= max(self.sums, 4))

    def bundle(self, warps: int, lanes_per_row: int, row_nonzeros: float, longest: int) -> Bundle:
        """What ``warps`` warps gather whose rows have ``row_nonzeros`` on average and ``longest`` at most."""
        by_lane = float(-(-longest // lanes_per_row))
        load_groups = LANES // self.together * self.tile.loads
        if self.bank_order in (BankOrder.GREEDY, BankOrder.PLAIN):
            return Bundle(warps, by_lane, by_lane * load_groups)
        by_bank = max(by_lane, self._busiest_bank(lanes_per_row, row_nonzeros))
        slots = by_bank if self.bank_order is BankOrder.COLOURED else by_lane
        return Bundle(warps, slots, by_bank * load_groups)

    def _busiest_bank(self, lanes_per_row: int, row_nonzeros: float) -> float:
        """Loads of the busiest bank of a load group."""
        rows = max(1, self.together // lanes_per_row)
        groups_of_row = max(1, lanes_per_row // self.together)
        by_bank = rows * row_nonzeros / groups_of_row / self.together
        # Tiles are dealt to the banks of their loads (turns.py), which share what one would have too many.
        return by_bank + _BANK_EXCESS * math.sqrt(by_bank / groups_of_row / self.tile.loads)

    def gather_cycles(self, lanes_per_row: int, bundles: Sequence[Bundle]) -> float:
        """Estimated cycles of one step.

        The gather is bound by the shared-memory pipe, by what the busiest scheduler has to issue, or by
        what one warp can issue alone; then rows are added up.
        """
        shuffles = self.groups * reduction_shuffles(lanes_per_row, self.sums)
        wavefronts = busiest = alone = 0.0
        own = sum(b.slots for b in bundles)
        most = max((b.warps for b in bundles), default=0)
        each = self.slot_instructions + self.unpack_instructions * (2 * own > self.register_slots)
        for b in bundles:
            instructions = b.slots * each + SHUFFLE_INSTRUCTIONS * shuffles
            wavefronts += b.warps * (b.wavefronts * self.groups + shuffles)
            busiest += -(-b.warps // SCHEDULERS) * instructions
            alone += instructions
        wavefronts += self._memory_cycles(_RESERVE * own, most)
        late = max(0.0, own - self.register_slots) / own * len(bundles) if own else 0.0
        alone += late * BUNDLE_CYCLES / ISSUE_CYCLES[0]
        bounds = GatherBounds.of(wavefronts, busiest, alone, most)
        return bounds.cycles + ROUND_CYCLES * sum(reduction_rounds(lanes_per_row, self.sums))

    def _memory_cycles(self, slots: float, warps: int) -> float:
        """Cycles to load the slots of a lane that no register holds: from shared memory, then from L2."""
        if not warps:
            return 0.0
        elsewhere = max(0.0, slots - self.register_slots) * self.slot_words
        shared = min(elsewhere, self.shared_bytes / (warps * LANES * 4))
        return warps * (shared + STREAMED_CYCLES * (elsewhere - shared))
