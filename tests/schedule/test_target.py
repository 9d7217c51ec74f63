"""What was measured on a target."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sprnnc.target import TARGETS

H200 = TARGETS["sm_90"]


@pytest.mark.parametrize(("at", "microseconds"), H200.exchange_us)
def test_the_floor_is_what_was_measured(at: int, microseconds: float) -> None:
    assert H200.exchange_floor_us(at) == pytest.approx(microseconds)


def test_the_floor_is_linear_between_and_beyond() -> None:
    made = replace(H200, exchange_us=((1000, 1.0), (2000, 2.0), (4000, 6.0)))
    sizes = (500, 1500, 3000, 5000)
    assert [made.exchange_floor_us(n) for n in sizes] == pytest.approx([0.5, 1.5, 4.0, 8.0])


def test_nothing_is_made_up_where_nothing_was_measured() -> None:
    for target in TARGETS.values():
        assert (target.clock_ghz is None) == (not target.exchange_us)
    assert TARGETS["sim"].exchange_floor_us(4096) is None
