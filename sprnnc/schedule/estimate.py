"""Cycles of a step's gathers before anything is laid out: what decisions are compared by."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from sprnnc.cell.ir import Model
from sprnnc.layout.partition import partition
from sprnnc.layout.placement import place_units
from sprnnc.layout.tile import Tile
from sprnnc.passes.recurrence import Recurrence
from sprnnc.schedule.choices import Choices
from sprnnc.schedule.registers import layout_options
from sprnnc.target import Target


def gather_cycles(
    model: Model,
    recurrence: Recurrence,
    choices: Choices,
    counts: Mapping[str, NDArray[np.int64]],
    tile: Tile,
    batch: int,
    target: Target,
) -> int:
    """Estimated cycles of a step's gathers, on as many lanes a row as take the fewest.

    ``counts`` gives for each weight its tiles (non-zeros, where a tile is one) by row of tiles.
    """
    options = layout_options(model, recurrence, choices, batch, target, tile)
    by_unit = {name: np.repeat(count, tile.rows) for name, count in counts.items()}
    parts = partition(recurrence, by_unit, choices.blocks.value, tile, choices.devices.value)
    placements = place_units(recurrence, counts, parts, options)
    return sum(min(p.cycles.values()) for p in placements.values())
