"""Splits a phase's slots over the tiers: registers first, then shared memory, then global memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sprnnc.layout.layout import PhaseLayout, Rank
from sprnnc.schedule.choices import Tier
from sprnnc.schedule.plan import Segment
from sprnnc.schedule.slot_format import SlotFormat, whole_loads


@dataclass(frozen=True, slots=True)
class Tiers:
    """Slots and words of a lane in each tier, and the segments of every rank."""

    slots: Mapping[Tier, int]
    words: Mapping[Tier, int]
    segments: tuple[tuple[Segment, ...], ...]


def split_tiers(ranks: Sequence[Rank], registers: int, shared_words: int, form: SlotFormat) -> Tiers:
    """Fills the tiers in order, rank by rank.

    ``registers``: slots that they hold; ``shared_words``: words of a lane that shared memory holds. A
    segment in memory takes whole loads of 16 bytes, so where a rank is cut, the cut lies between two loads.
    """
    slots, words = dict.fromkeys(Tier, 0), dict.fromkeys(Tier, 0)
    room = {Tier.REGISTER: registers * form.words, Tier.SHARED: shared_words // 4 * 4}
    segments = []
    for rank in ranks:
        parts, left = [], rank.slots
        for tier in Tier:
            fits = left if tier is Tier.STREAMED else (room[tier] - words[tier]) // form.words
            taken = min(left, fits)
            if taken <= 0:
                continue
            parts.append(Segment(tier, words[tier], taken))
            slots[tier] += taken
            words[tier] += form.tier_words(tier, taken)
            left -= taken
        segments.append(tuple(parts))
    words[Tier.REGISTER] = whole_loads(words[Tier.REGISTER])
    return Tiers(slots, words, tuple(segments))


def fewest_slots(phase: PhaseLayout) -> tuple[int, ...]:
    """For every rank, the slots that each of its warps uses at least."""
    return tuple(
        int(phase.used[:, : rank.warps, i].min(initial=rank.slots)) for i, rank in enumerate(phase.ranks)
    )
