"""Packs the slots of a phase into the words that the kernel loads, 16 bytes of a lane together.

The words of a lane are those of its register slots, then of its shared and its streamed ones; four
words of each of the 32 lanes lie together, so that every tier is read in loads of 16 bytes.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sprnnc.cell.ir import DType
from sprnnc.cell.storage import NUMPY_TYPE
from sprnnc.layout.layout import PhaseLayout
from sprnnc.layout.options import LANES
from sprnnc.layout.packing import FloatArray, Words, storage_bits
from sprnnc.layout.partition import IntArray
from sprnnc.layout.tile import Tile
from sprnnc.schedule.choices import Encoding, Tier
from sprnnc.schedule.plan import PhasePlan
from sprnnc.schedule.slot_format import SlotFormat

_QUAD = 4


def pack_slots(phase: PhaseLayout, plan: PhasePlan, form: SlotFormat) -> Words:
    """Slots as uint32 [blocks, gather_warps, lane words / 4, 32, 4].

    A slot's words are those of ``SlotFormat``; where it says ``where``, the position times
    ``plan.position_step``. Places between the segments of a tier hold slots that read a null position.
    """
    tile = form.tile
    null = _slot_words(
        np.zeros((1, tile.rows, tile.columns), np.float32), np.full(1, plan.columns, np.int32), plan, form
    )
    words = np.empty((*phase.position.shape[:2], plan.lane_words, LANES), np.uint32)
    words[:] = np.resize(null, plan.lane_words)[:, None]
    packed = _slot_words(phase.value, phase.position, plan, form)  # [blocks, warps, slots, 32, words]
    for to, first, slots in _runs(plan, form):
        run = packed[:, :, first : first + slots].swapaxes(3, 4)
        words[:, :, to : to + slots * form.words] = run.reshape(*words.shape[:2], -1, LANES)
    by_lane = words.reshape(*words.shape[:2], -1, _QUAD, LANES)
    return np.ascontiguousarray(by_lane.transpose(0, 1, 2, 4, 3))


def unpack_slots(words: Words, plan: PhasePlan, form: SlotFormat) -> tuple[FloatArray, IntArray]:
    """The inverse: float32 value [blocks, gather_warps, slots, 32, tile rows, tile columns], and int32
    position, the first four axes of that."""
    by_word = words.transpose(0, 1, 2, 4, 3).reshape(*words.shape[:2], -1, LANES)
    runs = [by_word[:, :, to : to + slots * form.words] for to, _, slots in _runs(plan, form)]
    slots = np.concatenate(runs, axis=2).reshape(*words.shape[:2], -1, form.words, LANES).swapaxes(3, 4)
    if form.encoding is Encoding.NARROW:
        bits, at = slots >> np.uint32(16), slots[..., 0] & np.uint32(0xFFFF)
    else:
        bits, at = slots[..., :-1], slots[..., -1]
    if form.encoding is Encoding.BLOCK and form.dtype is not DType.FP32:
        bits = np.stack([bits & np.uint32(0xFFFF), bits >> np.uint32(16)], axis=-1)
    position = (at // np.uint32(plan.position_step)).astype(np.int32)
    unsigned = np.uint32 if form.dtype is DType.FP32 else np.uint16
    stored: FloatArray = bits.astype(unsigned).view(NUMPY_TYPE[form.dtype]).astype(np.float32)
    value = stored.reshape(*position.shape, form.tile.rows, form.tile.columns)
    return _in_turns(value, position, form.tile), position


def _slot_words(value: FloatArray, position: IntArray, plan: PhasePlan, form: SlotFormat) -> Words:
    """The words of slots [...] with values [..., tile rows, tile columns]: uint32 [..., words]."""
    bits = storage_bits(_in_turns(value, position, form.tile), form.dtype).reshape(*position.shape, -1)
    at = (position * plan.position_step).astype(np.uint32)[..., None]
    if form.encoding is Encoding.NARROW:
        return bits << np.uint32(16) | at
    if form.encoding is Encoding.BLOCK and form.dtype is not DType.FP32:
        bits = bits[..., 0::2] | bits[..., 1::2] << np.uint32(16)
    return np.concatenate([bits, at], axis=-1)


def _in_turns(value: FloatArray, position: IntArray, tile: Tile) -> FloatArray:
    """Columns of tiles in the order in which a lane loads them from ``position`` on; its own inverse."""
    if tile.loads == 1:
        return value
    first = position % tile.columns // tile.run
    load = first[..., None] ^ np.arange(tile.loads, dtype=np.int32)
    column = np.add.outer(load * tile.run, np.arange(tile.run, dtype=np.int32))
    return np.take_along_axis(value, column.reshape(*first.shape, 1, -1), axis=-1)


def _runs(plan: PhasePlan, form: SlotFormat) -> Iterator[tuple[int, int, int]]:
    """Every segment in the order of the layout: its word among a lane's, its first slot, and its slots."""
    base = {
        Tier.REGISTER: 0,
        Tier.SHARED: plan.register_words,
        Tier.STREAMED: plan.register_words + plan.shared_words,
    }
    first = 0
    for group in plan.row_groups:
        for item in range(group.items):
            for s in group.segments:
                yield base[s.tier] + s.first + item * form.tier_words(s.tier, s.slots), first, s.slots
                first += s.slots
