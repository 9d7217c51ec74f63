"""What a gather costs on an SM, in cycles: one model for whoever decides and whoever predicts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

# Hopper, measured: a dependent shuffle and add; warps that issue side by side on one SM.
ROUND_CYCLES = 28
SCHEDULERS = 4
# Cycles an instruction of a gather, by how many warps share a scheduler: one, two, or more.
ISSUE_CYCLES = (1.8, 1.4, 1.3)
# Cycles of a warp's load of 128 bytes from L2, all SMs loading.
STREAMED_CYCLES = 6
# Cycles until the first slots of a bundle that lie in memory are there, which few warps cannot hide (H200:
# four LSTMs of 1024 in one kernel take 5.2 us a step with a third of their slots there, 3.5 with none).
BUNDLE_CYCLES = 100
# Instructions around one shuffle: choose what to give and what to keep, shuffle, add.
SHUFFLE_INSTRUCTIONS = 4


class Bound(Enum):
    """What decides how long a gather takes."""

    PIPE = "the shared-memory pipe"
    ISSUE = "issue of the busiest scheduler"
    ALONE = "one warp alone"


@dataclass(frozen=True, slots=True)
class GatherBounds:
    """Cycles that a gather takes at least by each of its bounds; it takes the longest of them.

    ``pipe``: wavefronts of shared memory. ``issue``: instructions of the busiest scheduler, and
    ``alone``: of the longest warp, both in cycles.
    """

    pipe: float
    issue: float
    alone: float

    @staticmethod
    def of(wavefronts: float, busiest: float, alone: float, warps: int) -> GatherBounds:
        """From wavefronts and from instructions: of the busiest scheduler and of the longest warp.

        ``warps``: that gather; a scheduler has every fourth of them.
        """
        sharing = max(1, min(-(-warps // SCHEDULERS), len(ISSUE_CYCLES)))
        return GatherBounds(wavefronts, ISSUE_CYCLES[sharing - 1] * busiest, ISSUE_CYCLES[0] * alone)

    @property
    def cycles(self) -> float:
        return max(self.pipe, self.issue, self.alone)

    @property
    def decides(self) -> Bound:
        """The longest bound."""
        by_bound = {Bound.PIPE: self.pipe, Bound.ISSUE: self.issue, Bound.ALONE: self.alone}
        return max(by_bound, key=by_bound.__getitem__)


def reduction_rounds(lanes_per_row: int, width: int) -> tuple[int, int]:
    """Rounds that add ``lanes_per_row`` lanes up: first those that halve the columns, then plain ones."""
    halvings = min(width.bit_length(), lanes_per_row.bit_length()) - 1
    return halvings, lanes_per_row.bit_length() - 1 - halvings


def reduction_shuffles(lanes_per_row: int, width: int) -> int:
    """Shuffles that adding the lanes of a row up takes, for each column group."""
    halvings, rounds = reduction_rounds(lanes_per_row, width)
    return width - (width >> halvings) + rounds
