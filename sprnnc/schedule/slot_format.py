"""How one slot of one lane is packed into 32-bit words, and slots into the 16-byte loads of memory tiers."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sprnnc.cell.ir import DType
from sprnnc.layout.tile import Tile
from sprnnc.schedule.choices import Encoding, Tier

_QUAD = 4  # words of a 16-byte load


@dataclass(frozen=True, slots=True)
class SlotFormat:
    """Narrow: value << 16 | where. Wide: the value's bits, then where. Block: the values of ``tile``, row by
    row in the order in which a lane loads their columns, then where."""

    encoding: Encoding
    dtype: DType
    tile: Tile

    @property
    def words(self) -> int:
        """Words of one slot."""
        match self.encoding:
            case Encoding.NARROW:
                return 1
            case Encoding.WIDE:
                return 2
            case Encoding.BLOCK:
                return -(-self.tile.values * self.dtype.size_bytes // 4) + 1

    @property
    def slots_per_run(self) -> int:
        """Slots of a *run*: as many as whole 16-byte loads hold without a rest."""
        return _QUAD // math.gcd(self.words, _QUAD)

    @property
    def loads_per_run(self) -> int:
        return self.slots_per_run * self.words // _QUAD

    def tier_words(self, tier: Tier, slots: int) -> int:
        """Words of ``slots`` slots in a row: those of memory tiers take whole 16-byte loads."""
        words = slots * self.words
        return words if tier is Tier.REGISTER else whole_loads(words)


def whole_loads(words: int) -> int:
    """``words`` rounded up to whole loads of 16 bytes."""
    return -(-words // _QUAD) * _QUAD
