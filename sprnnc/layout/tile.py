"""What one index of a slot stands for: one value, or a whole block of a block pattern.

A *tile* is an aligned block of a matrix that is kept or dropped whole. Its rows are consecutive units
that share lanes, and its columns lie side by side in the exchanged vector, so that one position and
loads at fixed distances from it serve all of its values.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tile:
    """``rows`` x ``columns`` values, whose operand comes in loads of ``run`` adjacent positions.

    All three are powers of two. A lane makes a tile's loads in the order ``first ^ 0``, ``first ^ 1``, ...:
    it may begin with any of them, so that its loads move to other banks and the tile stays where it is.
    """

    rows: int = 1
    columns: int = 1
    run: int = 1

    @property
    def values(self) -> int:
        return self.rows * self.columns

    @property
    def loads(self) -> int:
        """Loads that bring a tile's columns."""
        return self.columns // self.run

    def __str__(self) -> str:
        return f"{self.rows} x {self.columns}"


ONE_VALUE = Tile()
