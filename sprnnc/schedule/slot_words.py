"""Packs the slots of a phase into the words that the kernel loads, 16 bytes of a lane together.

The words of a lane are those of its register slots, then of its shared and its streamed ones; four
words of each of the 32 lanes lie together, so that every tier is read in loads of 16 bytes.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from sprnnc.cell.ir import DType
from sprnnc.cell.storage import NUMPY_TYPE
from sprnnc.layout.layout import PhaseLayout
from sprnnc.layout.options import LANES
from sprnnc.layout.packing import FloatArray, Words, storage_bits
from sprnnc.layout.partition import IntArray
from sprnnc.schedule.choices import Encoding, Tier
from sprnnc.schedule.plan import PhasePlan

_QUAD = 4


def lane_words(plan: PhasePlan, encoding: Encoding) -> int:
    """Words of one lane, each tier padded to whole loads of 16 bytes."""
    return sum(_tier_words(plan, encoding).values())


def pack_slots(phase: PhaseLayout, plan: PhasePlan, dtype: DType, encoding: Encoding) -> Words:
    """Slots as uint32 [blocks, gather_warps, lane words / 4, 32, 4].

    Narrow: one word a slot, value << 16 | where. Wide: the value's bits, then where. ``where`` is the
    position times ``plan.position_step``. Places between the segments of a
    tier read a null position.
    """
    padding = np.int32(plan.columns)
    words = np.empty((*phase.value.shape[:2], lane_words(plan, encoding) // encoding.value, LANES), np.uint32)
    values, positions = np.zeros(words.shape, np.float32), np.full(words.shape, padding, np.int32)
    for to, first, slots in _runs(plan, encoding):
        values[:, :, to : to + slots] = phase.value[:, :, first : first + slots]
        positions[:, :, to : to + slots] = phase.position[:, :, first : first + slots]
    bits, at = storage_bits(values, dtype), (positions * plan.position_step).astype(np.uint32)
    if encoding is Encoding.NARROW:
        packed = (bits << np.uint32(16) | at)[:, :, :, None]
    else:
        packed = np.stack([bits, at], axis=3)
    by_lane = packed.reshape(*words.shape[:2], -1, _QUAD, LANES)
    return np.ascontiguousarray(by_lane.transpose(0, 1, 2, 4, 3))


def unpack_slots(
    words: Words, plan: PhasePlan, dtype: DType, encoding: Encoding
) -> tuple[FloatArray, IntArray]:
    """The inverse: float32 value and int32 position, both [blocks, gather_warps, slots, 32]."""
    by_word = words.transpose(0, 1, 2, 4, 3).reshape(*words.shape[:2], -1, encoding.value, LANES)
    if encoding is Encoding.NARROW:
        bits, at = by_word[:, :, :, 0] >> np.uint32(16), by_word[:, :, :, 0] & np.uint32(0xFFFF)
    else:
        bits, at = by_word[:, :, :, 0], by_word[:, :, :, 1]
    unsigned = np.uint32 if dtype is DType.FP32 else np.uint16
    stored: NDArray[np.float32] = bits.astype(unsigned).view(NUMPY_TYPE[dtype]).astype(np.float32)
    runs = list(_runs(plan, encoding))
    values = [stored[:, :, to : to + slots] for to, _, slots in runs]
    positions = [at[:, :, to : to + slots] // np.uint32(plan.position_step) for to, _, slots in runs]
    return np.concatenate(values, axis=2), np.concatenate(positions, axis=2).astype(np.int32)


def _tier_words(plan: PhasePlan, encoding: Encoding) -> dict[Tier, int]:
    slots = {
        Tier.REGISTER: plan.register_slots,
        Tier.SHARED: plan.shared_slots,
        Tier.STREAMED: plan.streamed_slots,
    }
    return {tier: -(-n * encoding.value // _QUAD) * _QUAD for tier, n in slots.items()}


def _runs(plan: PhasePlan, encoding: Encoding) -> Iterator[tuple[int, int, int]]:
    """Every segment in the order of the layout: its slot among a lane's words, in the layout, and length."""
    words = _tier_words(plan, encoding)
    base = {
        Tier.REGISTER: 0,
        Tier.SHARED: words[Tier.REGISTER] // encoding.value,
        Tier.STREAMED: (words[Tier.REGISTER] + words[Tier.SHARED]) // encoding.value,
    }
    first = 0
    for group in plan.row_groups:
        for item in range(group.items):
            for s in group.segments:
                yield base[s.tier] + s.first + item * s.slots, first, s.slots
                first += s.slots
