"""Pass 4a, matrices -> Tile: the part of the patterns' blocks that one index stands for.

A larger tile saves indices, addresses and loads, but leaves a block fewer rows for its warps, and a row
more sums to add up. The layout's estimate of a gather says which counts for more; of tiles that are about
as fast, the one that takes the least memory is right.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from sprnnc.cell.ir import Model
from sprnnc.layout.rows import FloatArray, tiles_by_row
from sprnnc.layout.tile import ONE_VALUE, Tile
from sprnnc.passes.recurrence import Recurrence
from sprnnc.schedule.choices import Choice, Choices, Indices
from sprnnc.schedule.estimate import gather_cycles
from sprnnc.schedule.indices import candidates, decide_indices
from sprnnc.schedule.registers import slot_format
from sprnnc.target import Target

# A tile that takes less memory may take this many times the cycles of the fastest one.
_ABOUT_AS_FAST = 1.05


def fit_tile(
    model: Model,
    recurrence: Recurrence,
    choices: Choices,
    weights: Mapping[str, FloatArray],
    nonzeros: Mapping[str, NDArray[np.int64]],
    batch: int,
    target: Target,
) -> tuple[Tile, Choices]:
    """The tile, and the choices with ``indices`` decided; ``nonzeros``: of each row of each weight."""
    tiles = candidates(model, recurrence, choices, batch, target)
    if choices.indices.value is not Indices.FITTING:
        return tiles[0], choices
    if tiles == (ONE_VALUE,):  # there was room for larger ones before threads or blocks were given up
        return ONE_VALUE, dataclasses.replace(
            choices, indices=decide_indices(model, recurrence, choices, batch, target)
        )
    names = {p.weight for phase in recurrence.phases for p in phase.products}
    whole = {name: tiles_by_row(weights[name], tiles[0]) for name in names}
    cycles = {}
    for tile in tiles:
        in_parts = {n: _in_parts(by_row, tiles[0], tile) for n, by_row in whole.items()}
        counts = nonzeros if tile == ONE_VALUE else in_parts  # a value need not be in every place of a block
        cycles[tile] = gather_cycles(model, recurrence, choices, counts, tile, batch, target)
    tile = _least_memory(model, recurrence, cycles)
    return tile, dataclasses.replace(choices, indices=_reason(tile, cycles))


def _least_memory(model: Model, recurrence: Recurrence, cycles: Mapping[Tile, int]) -> Tile:
    """The tile of the fewest words a value, of those that are about as fast as the fastest."""
    fast = [t for t, c in cycles.items() if c <= _ABOUT_AS_FAST * min(cycles.values())]
    return min(fast, key=lambda t: (slot_format(model, recurrence, t).words / t.values, cycles[t]))


def _reason(tile: Tile, cycles: Mapping[Tile, int]) -> Choice[Indices]:
    if tile.values > 1:
        why = f"one serves {tile} values: a gather takes about {cycles[tile]} cycles"
        return Choice(Indices.BLOCK, f"{why}, {cycles[ONE_VALUE]} by value")
    other = min((t for t in cycles if t.values > 1), key=cycles.__getitem__)
    why = f"a gather takes about {cycles[tile]} cycles"
    return Choice(Indices.VALUE, f"{why}, {cycles[other]} where one serves {other} values of a block")


def _in_parts(by_row: NDArray[np.int64], whole: Tile, part: Tile) -> NDArray[np.int64]:
    """Tiles a row where every tile ``whole`` is cut into tiles ``part``."""
    return np.repeat(by_row * (whole.columns // part.columns), whole.rows // part.rows)
