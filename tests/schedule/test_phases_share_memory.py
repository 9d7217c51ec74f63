"""Operands of several phases lie one after another in shared memory, which 16-bit addresses must reach."""

from __future__ import annotations

import sprnnc
from benchmarks.model_cases import translation
from sprnnc.schedule.choices import Encoding
from sprnnc.schedule.registers import position_step


def test_an_address_beyond_16_bits_is_worked_out_from_the_position() -> None:
    """Four columns of 8 bytes: the operand itself is short, but lies behind others."""
    assert position_step(Encoding.NARROW, 0, 1040, 8) == 8
    assert position_step(Encoding.NARROW, 58_000, 1040, 8) == 1
    assert position_step(Encoding.WIDE, 58_000, 1040, 8) == 8


def test_every_slot_in_a_register_reaches_its_operand() -> None:
    decoder = translation(4)[1]
    made = sprnnc.compile(decoder.text, random_weights=1, batch=4, target="sm_90", schedule=decoder.schedule)
    assert isinstance(made, sprnnc.NetworkArtifact)
    (part,) = made.parts.values()
    assert part.plan.shared_bytes > 1 << 16
    for p in part.plan.phases:
        if p.position_step > 1:
            assert p.operand_at_bytes + p.positions * p.position_step + 1024 <= 1 << 16
    assert any(p.position_step == 1 for p in part.plan.phases)
