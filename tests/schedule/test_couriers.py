"""Couriers bring every chunk once, in whole lines; idle warps are taken where there are enough of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sprnnc.schedule.choices import CourierWarps
from sprnnc.schedule.couriers import assign_couriers


@given(
    chunks=st.integers(1, 5000),
    most=st.integers(1, 32),
    where=st.sampled_from(list(CourierWarps)),
    warps=st.integers(1, 32),
    gathering=st.integers(0, 32),
)
def test_runs_cover_every_chunk_and_each_courier_has_one(
    chunks: int, most: int, where: CourierWarps, warps: int, gathering: int
) -> None:
    most, gathering = min(most, warps), min(gathering, warps)
    made = assign_couriers(chunks, most, where, warps, gathering)
    assert made is not None
    assert made.run_chunks % 8 == 0 and made.copy_chunks % 8 == 0
    assert (made.count - 1) * made.run_chunks < chunks <= made.count * made.run_chunks
    assert made.count <= most and made.first + made.count <= warps
    assert made.copy_chunks <= made.run_chunks


def test_idle_warps_are_couriers_only_where_there_are_a_quarter_of_those_asked_for() -> None:
    enough = assign_couriers(1152, 16, CourierWarps.IDLE, 16, 9)
    assert enough is not None and (enough.first, enough.count) == (9, 7)
    assert str(enough) == "7 couriers from warp 9 on, 168 chunks each"
    assert enough.copy_chunks < enough.run_chunks  # long runs go in parts
    too_few = assign_couriers(1152, 16, CourierWarps.IDLE, 16, 13)
    assert too_few is not None and (too_few.first, too_few.count) == (0, 16)
    assert assign_couriers(1152, 0, CourierWarps.FIRST, 16, 9) is None
