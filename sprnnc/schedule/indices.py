"""Whether one index may serve a whole block of the weights' patterns, and how large such a tile may be."""

from __future__ import annotations

import dataclasses
import math

from sprnnc.cell.ir import DType, Model
from sprnnc.layout.options import LANES
from sprnnc.layout.tile import ONE_VALUE, Tile
from sprnnc.passes.recurrence import Recurrence
from sprnnc.schedule.choices import Choice, Choices, Indices
from sprnnc.schedule.free_registers import free_registers
from sprnnc.target import Target

# Values of a slot, and loads' columns, beyond which one slot alone would take the registers of many.
_MOST_VALUES, _MOST_COLUMNS = 16, 8
_LOAD_BYTES = 16  # the widest load
# A block may own this many times its share of units, so that those of a tile stay together.
_UNEVEN = 1.25


def decide_indices(
    model: Model, recurrence: Recurrence, choices: Choices, batch: int, target: Target
) -> Choice[Indices]:
    """The decision with its reason; the user's own stays, but for blocks where there cannot be any."""
    asked = choices.indices
    if asked.value is Indices.VALUE:
        return asked
    rows, columns, why = pattern_tile(recurrence)
    if why:
        return Choice(Indices.VALUE, why)
    tile = _largest(rows, columns, model, recurrence, choices, batch, target)
    if tile.values == 1:
        why = "too few units a block, or too many sums a lane"
        return Choice(Indices.VALUE, f"no part of {rows} x {columns} fits: {why}")
    return asked


def with_single_values(choices: Choices) -> Choices | None:
    """An index for every value, where tiles left too few registers; None where that is no choice of ours."""
    if choices.indices.value is not Indices.FITTING:
        return None
    why = "the sums of a block's rows would leave a thread too few registers"
    return dataclasses.replace(choices, indices=Choice(Indices.VALUE, why))


def candidates(
    model: Model, recurrence: Recurrence, choices: Choices, batch: int, target: Target
) -> tuple[Tile, ...]:
    """What one index may stand for, the largest first."""
    if choices.indices.value is Indices.VALUE:
        return (ONE_VALUE,)
    rows, columns, _ = pattern_tile(recurrence)
    largest = _largest(rows, columns, model, recurrence, choices, batch, target)
    if choices.indices.value is Indices.BLOCK:
        return (largest,)
    row_bytes = choices.column_width.value * model.dtype.size_bytes
    parts = [_with_run(r, c, row_bytes) for r in _halves(largest.rows) for c in _halves(largest.columns)]
    return tuple(sorted(parts, key=lambda t: t.values, reverse=True))


def _halves(side: int) -> list[int]:
    """``side``, a power of two, its half and so on down to 1."""
    return [side >> i for i in range(side.bit_length())]


def pattern_tile(recurrence: Recurrence) -> tuple[int, int, str]:
    """The largest block with powers of two for sides that all matrices consist of, or why there is none."""
    patterns = {w.name: w.pattern for w in recurrence.cell.weights}
    names = list(dict.fromkeys(p.weight for phase in recurrence.phases for p in phase.products))
    if not names:
        return 1, 1, "no matrix is multiplied in the loop"
    tiles = {n: patterns[n].tile() for n in names}
    for name, (rows, columns) in tiles.items():
        if rows * columns == 1:
            return 1, 1, f"{name} is {patterns[name].describe()}, which is not made of blocks"
    rows, columns = (_power_of_two(math.gcd(*sides)) for sides in zip(*tiles.values(), strict=True))
    if rows * columns == 1:
        found = " and ".join(dict.fromkeys(f"{r} x {c}" for r, c in tiles.values()))
        return 1, 1, f"blocks of {found} have no side in common that is a power of two"
    return rows, columns, ""


def _power_of_two(number: int) -> int:
    """The largest power of two that divides ``number``."""
    return number & -number


def _largest(
    rows: int,
    columns: int,
    model: Model,
    recurrence: Recurrence,
    choices: Choices,
    batch: int,
    target: Target,
) -> Tile:
    """The largest part of ``rows`` x ``columns`` for which lanes, registers and blocks have room."""
    width = choices.column_width.value
    rows = min(rows, _most_rows(width, -(-batch // width), choices, target))
    columns = min(columns, _MOST_COLUMNS)
    if model.accumulate is DType.FP16:  # two chains have room for the columns of a tile
        columns = min(columns, 2 << choices.chain.value.bit_length() - 1)
    size = max(s.size for s in recurrence.spaces)
    while rows * columns > _MOST_VALUES or not _evenly_owned(size, choices.all_blocks, max(rows, columns)):
        rows, columns = (rows // 2, columns) if rows >= columns else (rows, columns // 2)
    return _with_run(rows, columns, width * model.dtype.size_bytes)


def _with_run(rows: int, columns: int, row_bytes: int) -> Tile:
    """A tile that comes in the widest loads, of positions of ``row_bytes`` each."""
    return Tile(rows, columns, min(columns, max(1, _LOAD_BYTES // row_bytes)))


def _most_rows(width: int, groups: int, choices: Choices, target: Target) -> int:
    """Rows whose sums have a lane each, and take no more than half of the registers that are free."""
    sums = max(1, free_registers(choices, target) // 2 // groups)
    most = max(1, min(LANES, sums) // width)
    return 1 << most.bit_length() - 1


def _evenly_owned(size: int, blocks: int, together: int) -> bool:
    """Whether no block owns far more than its share of ``size`` units, ``together`` of them at a time."""
    busiest = -(-size // together // blocks) * together
    return together == 1 or busiest <= _UNEVEN * -(-size // blocks)
