"""Splits a phase's slots over the tiers: registers first, then shared memory, then global memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sprnnc.layout.layout import PhaseLayout, Rank
from sprnnc.schedule.choices import Tier
from sprnnc.schedule.plan import Segment


@dataclass(frozen=True, slots=True)
class Tiers:
    """Slots of a lane in each tier, and the segments of every rank."""

    register_slots: int
    shared_slots: int
    streamed_slots: int
    segments: tuple[tuple[Segment, ...], ...]


def split_tiers(ranks: Sequence[Rank], registers: int, shared: int, per_quad: int) -> Tiers:
    """Fills the tiers in order, rank by rank.

    ``registers`` and ``shared`` are the slots that they hold. A segment in memory takes whole loads of
    16 bytes, ``per_quad`` slots each, so where a rank is cut, the cut lies between two loads.
    """
    taken = dict.fromkeys(Tier, 0)
    room = {Tier.REGISTER: registers, Tier.SHARED: shared}
    segments = []
    for rank in ranks:
        parts, left = [], rank.slots
        for tier in Tier:
            if not left:
                break
            whole = -(-left // per_quad) * per_quad if tier is not Tier.REGISTER else left
            fits = whole if tier is Tier.STREAMED else room[tier] - taken[tier]
            slots = min(whole, fits if tier is Tier.REGISTER else fits // per_quad * per_quad)
            if slots <= 0:
                continue
            parts.append(Segment(tier, taken[tier], min(slots, left)))
            taken[tier] += slots
            left -= min(slots, left)
        segments.append(tuple(parts))
    return Tiers(taken[Tier.REGISTER], taken[Tier.SHARED], taken[Tier.STREAMED], tuple(segments))


def fewest_slots(phase: PhaseLayout) -> tuple[int, ...]:
    """For every rank, the slots that each of its warps uses at least."""
    return tuple(
        int(phase.used[:, : rank.warps, i].min(initial=rank.slots)) for i, rank in enumerate(phase.ranks)
    )
