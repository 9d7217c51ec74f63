"""Folded loads: the fewest slots, nothing lost, and banks no busier than their loads make them."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sprnnc.layout.folding import fold, folded_slots


def wavefronts(picks: np.ndarray) -> np.ndarray:
    """Wavefronts of every group: its busiest bank, slot by slot."""
    return picks.sum(axis=2).max(axis=2).sum(axis=0)


def fewest_wavefronts(counts: np.ndarray, slots: np.ndarray) -> np.ndarray:
    return np.maximum(slots, counts.sum(axis=1).max(axis=1))


@given(
    rows=st.sampled_from([1, 2, 4, 16]),
    mean=st.sampled_from([0.2, 2.0, 20.0]),
    seed=st.integers(0, 1000),
    uneven=st.booleans(),
    spare=st.integers(0, 2),
)
def test_every_load_has_a_slot_and_a_row_no_more_than_its_lanes(
    rows: int, mean: float, seed: int, uneven: bool, spare: int
) -> None:
    rng, lanes = np.random.default_rng(seed), 16 // rows
    counts = rng.poisson(mean * (rng.random(16) < 0.2 if uneven else np.ones(16)), (7, rows, 16))
    slots = -(-counts.sum(axis=2).max(axis=1) // lanes) + spare
    picks = fold(counts, lanes, slots)
    np.testing.assert_array_equal(picks.sum(axis=0), counts)
    assert np.all(picks.sum(axis=3) <= lanes)
    for group, most in enumerate(slots):
        assert not picks[most:, group].any()


def test_banks_are_about_as_busy_as_their_loads_make_them() -> None:
    rng = np.random.default_rng(0)
    for rows, allowed in ((1, 1.001), (2, 1.04), (4, 1.04)):
        counts = rng.multinomial(230, np.full(16, 1 / 16), (300, rows))
        slots = np.full(300, -(-230 * rows // 16))
        taken = wavefronts(fold(counts, 16 // rows, slots))
        fewest = fewest_wavefronts(counts, slots)
        assert np.all(taken >= fewest)
        assert fewest.mean() <= taken.mean() <= allowed * fewest.mean()


def test_a_row_that_reads_one_bank_only_takes_a_wavefront_for_each_load() -> None:
    counts = np.zeros((1, 1, 16), int)
    counts[0, 0, 3] = 40
    picks = fold(counts, 16, np.array([3]))
    assert wavefronts(picks)[0] == 40
    assert picks.sum(axis=(1, 2, 3)).max() <= 16


@given(lanes=st.sampled_from([4, 8, 16, 32]), density=st.floats(0, 1), seed=st.integers(0, 1000))
def test_a_non_zero_keeps_its_row_and_its_load_group_and_has_a_place_of_its_own(
    lanes: int, density: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    node, bank = np.nonzero(rng.random((64, 16)) < density)
    slot, lane = folded_slots(node, bank, 64, 16, lanes)
    assert len(set(zip(slot.tolist(), lane.tolist(), strict=True))) == len(node)
    np.testing.assert_array_equal(lane // min(lanes, 16), node // min(lanes, 16))
