"""Slots go to the tiers in order, and their words are what the kernel and the interpreter read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sprnnc
from sprnnc.cell.ir import DType
from sprnnc.layout.layout import Rank
from sprnnc.layout.tile import ONE_VALUE, Tile
from sprnnc.schedule.choices import Encoding, Tier, Unpack
from sprnnc.schedule.slot_format import SlotFormat
from sprnnc.schedule.slot_words import unpack_slots
from sprnnc.schedule.tiers import split_tiers

LSTM = Path(__file__).parents[2] / "examples" / "lstm.sprnn"


@given(
    slots=st.lists(st.integers(0, 30), min_size=1, max_size=6),
    registers=st.integers(0, 60),
    shared=st.integers(0, 60),
    form=st.sampled_from(
        [
            SlotFormat(Encoding.NARROW, DType.FP16, ONE_VALUE),
            SlotFormat(Encoding.WIDE, DType.FP32, ONE_VALUE),
            SlotFormat(Encoding.BLOCK, DType.FP16, Tile(2, 2, 2)),
            SlotFormat(Encoding.BLOCK, DType.FP32, Tile(4, 1, 1)),
        ]
    ),
)
def test_every_slot_has_one_place_and_memory_is_read_in_whole_loads(
    slots: list[int], registers: int, shared: int, form: SlotFormat
) -> None:
    ranks = [Rank(0, i, 1, s) for i, s in enumerate(slots)]
    tiers = split_tiers(ranks, registers, shared, form)
    assert [sum(s.slots for s in parts) for parts in tiers.segments] == slots
    assert sum(tiers.slots.values()) == sum(slots)
    assert tiers.words[Tier.SHARED] <= shared
    end = dict.fromkeys(Tier, 0)
    for parts in tiers.segments:
        assert [p.tier for p in parts] == sorted((p.tier for p in parts), key=list(Tier).index)
        for p in parts:
            assert p.first >= end[p.tier]
            assert p.tier is Tier.REGISTER or p.first % 4 == 0
            end[p.tier] = p.first + p.slots * form.words
    assert all(end[t] <= tiers.words[t] < end[t] + 4 for t in Tier)
    assert tiers.slots[Tier.REGISTER] == min(registers, sum(slots))


@pytest.mark.parametrize("dtype", ["fp32", "fp16", "bf16"])
@pytest.mark.parametrize("registers", [-1, 0, 3])
def test_the_words_hold_the_matrices(dtype: str, registers: int) -> None:
    artifact = sprnnc.compile(
        LSTM,
        random_weights=1,
        batch=2,
        target="sim",
        dtype=dtype,
        schedule={"register_slots": registers, "shared_slots": 4},
    )
    plan, phase = artifact.plan, artifact.plan.phases[0]
    value, position = unpack_slots(artifact.packed["slots_1"], phase, plan.slot_format)
    assert value.shape[2] == phase.slots
    used = position < phase.columns
    stored = np.concatenate([artifact.tensors[f"U{g}"].ravel() for g in "ifgo"])
    nonzero = np.sort(stored[stored != 0])
    np.testing.assert_allclose(np.sort(value[used].ravel()), nonzero, rtol=2**-8)


def test_slots_are_unpacked_once_where_two_registers_each_fit() -> None:
    def unpack(**schedule: object) -> Unpack:
        return sprnnc.compile(LSTM, random_weights=1, target="sim", schedule=schedule).plan.unpack

    assert unpack() is Unpack.ONCE
    assert unpack(register_slots=8) is Unpack.EACH_STEP
    assert unpack(register_slots=8, unpack="once") is Unpack.ONCE
    assert unpack(unpack="each_step") is Unpack.EACH_STEP
