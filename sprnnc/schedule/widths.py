"""How many batch columns one load of the operand serves."""

from __future__ import annotations

from sprnnc.cell.ir import DType


def column_widths(dtype: DType) -> tuple[int, ...]:
    """Batch columns that one load of 4, 8 or 16 bytes holds."""
    return tuple(n // dtype.size_bytes for n in (4, 8, 16))


def default_width(dtype: DType, batch: int) -> int:
    """The narrowest load that holds the batch, or the widest there is."""
    widths = column_widths(dtype)
    return next((w for w in widths if w >= batch), widths[-1])
