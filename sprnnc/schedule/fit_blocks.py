"""Decides whether a small layer leaves SMs alone: fewer blocks see each other's results sooner.

Eight units fill four warps at 16 lanes a row, one for each scheduler, and a block of fewer units gathers
hardly sooner. Measured on an H200: LSTM 512 in 64 blocks takes 0.83 us a step instead of 0.89, RNN 768 in
96 blocks 0.77 instead of 0.86; below 64 blocks nothing is gained.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from sprnnc.cell.ir import Model
from sprnnc.layout.tile import ONE_VALUE
from sprnnc.passes.recurrence import Recurrence
from sprnnc.schedule.choices import Choice, Choices, Fetch
from sprnnc.schedule.estimate import gather_cycles
from sprnnc.schedule.indices import candidates
from sprnnc.target import Target

_UNITS, _FEWEST = 8, 64
_ABOUT_AS_FAST = 1.03  # so much longer may a gather take in fewer blocks


def fit_blocks(
    model: Model,
    recurrence: Recurrence,
    choices: Choices,
    nonzeros: Mapping[str, NDArray[np.int64]],
    batch: int,
    target: Target,
) -> Choices:
    """``choices`` with fewer blocks where a gather takes about as long in them.

    The user's number stays, and so does that of several devices, for which nothing was measured.

    ``nonzeros`` gives for each weight its count by row.
    """
    units = max(s.size for s in recurrence.spaces)
    per_block = min(_UNITS, -(-units // _FEWEST))
    blocks = -(-units // per_block)
    fixed = choices.blocks.by_user or choices.devices.value > 1
    if fixed or choices.fetch.value is not Fetch.BULK or blocks >= choices.blocks.value:
        return choices
    why = f"{units} units, {per_block} a block: they gather about as fast in more, and meet later"
    fewer = dataclasses.replace(choices, blocks=Choice(blocks, why))
    ours, theirs = (candidates(model, recurrence, c, batch, target)[0] for c in (fewer, choices))
    if ours.values < theirs.values:  # the units of a tile would not spread evenly over fewer blocks
        return choices
    cycles, most = (
        gather_cycles(model, recurrence, c, nonzeros, ONE_VALUE, batch, target) for c in (fewer, choices)
    )
    return fewer if cycles <= _ABOUT_AS_FAST * most else choices
