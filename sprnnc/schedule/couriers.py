"""Which warps look after the bulk copies of an exchanged vector, and what each of them has copied."""

from __future__ import annotations

from dataclasses import dataclass

from sprnnc.schedule.choices import CourierWarps

_LINE_CHUNKS = 8  # of 16 bytes: whole lines are what the copy engine moves fast
_COPY_CHUNKS = 96  # of 16 bytes, about: longer runs are copied in several parts side by side


@dataclass(frozen=True, slots=True)
class Couriers:
    """``count`` warps from warp ``first`` on, each with a run of at most ``run_chunks`` chunks of 16 bytes.

    A run is copied ``copy_chunks`` chunks at a time, all at once.
    """

    first: int
    count: int
    run_chunks: int
    copy_chunks: int

    def __str__(self) -> str:
        return f"{self.count} couriers from warp {self.first} on, {self.run_chunks} chunks each"


def assign_couriers(
    chunks: int, most: int, where: CourierWarps, warps: int, gather_warps: int
) -> Couriers | None:
    """Couriers for ``chunks`` chunks of a column group, ``most`` of them; None where there are to be none.

    Idle warps are enough where there are at least a quarter of those asked for.
    """
    if not most:
        return None
    idle = warps - gather_warps
    if where is CourierWarps.IDLE and 4 * idle >= most:
        run = _whole_lines(chunks, min(most, idle))
        return Couriers(gather_warps, -(-chunks // run), run, _whole_lines(run, -(-run // _COPY_CHUNKS)))
    run = _whole_lines(chunks, most)
    return Couriers(0, -(-chunks // run), run, run)


def _whole_lines(chunks: int, parts: int) -> int:
    """The longest of ``parts`` parts of ``chunks``, in whole lines."""
    return -(-chunks // (parts * _LINE_CHUNKS)) * _LINE_CHUNKS
