"""Pass 4 as a whole: blocks and tile as the matrices ask for them, and which block owns which unit."""

from __future__ import annotations

from collections.abc import Mapping

from sprnnc.cell.ir import Model
from sprnnc.layout.partition import Partition, partition
from sprnnc.layout.rows import FloatArray, nonzeros_by_row
from sprnnc.layout.tile import Tile
from sprnnc.passes.recurrence import Recurrence
from sprnnc.schedule.choices import Choices
from sprnnc.schedule.fit_blocks import fit_blocks
from sprnnc.schedule.fit_tile import fit_tile
from sprnnc.target import Target


def fit_partition(
    model: Model,
    recurrence: Recurrence,
    choices: Choices,
    weights: Mapping[str, FloatArray],
    batch: int,
    target: Target,
) -> tuple[Tile, Choices, Partition]:
    """The tile, the choices with ``blocks`` and ``indices`` decided, and the partition by them."""
    nonzeros = nonzeros_by_row({w.name: weights[w.name] for w in model.cell.weights})
    choices = fit_blocks(model, recurrence, choices, nonzeros, batch, target)
    tile, choices = fit_tile(model, recurrence, choices, weights, nonzeros, batch, target)
    dealt = partition(recurrence, nonzeros, choices.blocks.value, tile, choices.devices.value)
    return tile, choices, dealt
