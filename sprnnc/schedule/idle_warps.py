"""Lets a block have the warps that gather and no others, where the others are not worth waiting for."""

from __future__ import annotations

import dataclasses

from sprnnc.layout.layout import Layout
from sprnnc.layout.options import LANES
from sprnnc.schedule.choices import Choice, Choices, Fetch

# A warp that gathers nothing takes part in every barrier, and asks for its copy before the data is there.
# It pays where the others would each look after more than this (H200: RNN 2304, LSTM 1024 at 8 columns) ...
_BYTES_OF_A_COURIER = 2048
# ... unless a block loads more words of slots than this, of 32 lanes each, which registers of fewer threads
# would hold (H200: RNN 2304 in fp32 gains by 180 words, LSTM 4096 with 3 % loses in spite of 72).
_LOADED_WORDS = 128


def without_idle_warps(choices: Choices, layout: Layout, row_bytes: int) -> Choices:
    """``choices`` with as many threads as own a unit; they stay where the user gave a number of threads.

    ``row_bytes``: of one exchanged value, all batch columns.
    """
    owning = max(max(p.warps_of_item) for p in layout.placements.values())
    if choices.threads.by_user or choices.fetch.value is not Fetch.BULK or owning >= choices.warps:
        return choices
    longest = max((p.columns for p in layout.phases), default=0) * row_bytes
    loaded = sum(p.slots for p in layout.phases) - layout.options.register_slots
    crowded = loaded * layout.options.slot_words * owning > _LOADED_WORDS
    if longest > owning * _BYTES_OF_A_COURIER and not crowded:
        return choices
    why = "fewer have more registers each" if crowded else "others would only be waited for"
    threads = Choice(owning * LANES, f"{owning} warps gather: {why}")
    return dataclasses.replace(choices, threads=threads)
