"""Lays out a block's shared memory: the operand of every exchange, and what its couriers wait on.

This part does not depend on the matrices, so a size that no device can hold is refused before
any weight is read.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sprnnc.cell.ir import DType, Model
from sprnnc.diagnostics import CompileError, fail
from sprnnc.passes.recurrence import Recurrence
from sprnnc.schedule.choices import Choices, Fetch
from sprnnc.schedule.widths import column_widths, default_width
from sprnnc.target import Target

_ALIGN_BYTES = 16
_ARRIVAL_BYTES = 8
_FLAG_BYTES = 4
_LINE_BYTES = 128  # what the copy engine and the banks move at once: operands begin with a line
_WAVEFRONT_BYTES = 128


@dataclass(frozen=True, slots=True)
class PhaseMemory:
    """Where a phase keeps its operand and arrivals; ``positions`` and chunks as in PhasePlan."""

    chunk_bytes: int
    positions: int
    couriers: int
    operand_at_bytes: int
    arrivals_at_bytes: int


@dataclass(frozen=True, slots=True)
class FixedMemory:
    """Shared memory that is taken whatever the weights are; ``bytes`` in all.

    ``flag_at_bytes``: the word that says whether a wait was given up.
    """

    phases: tuple[PhaseMemory, ...]
    bytes: int
    flag_at_bytes: int


def column_groups(batch: int, choices: Choices) -> int:
    """Loads that the batch columns of one operand position take."""
    return -(-batch // choices.column_width.value)


def aligned(size_bytes: int, to_bytes: int = _ALIGN_BYTES) -> int:
    """``size_bytes`` rounded up, so that what follows can be read 16 bytes at once."""
    return -(-size_bytes // to_bytes) * to_bytes


def fixed_memory(
    model: Model, recurrence: Recurrence, choices: Choices, batch: int, target: Target
) -> FixedMemory:
    """Operand and arrivals of every phase. Raises CompileError E410, which says what would fit."""
    columns = [p.columns for p in recurrence.phases]
    memory = _lay_out(columns, model.dtype, choices, batch)
    if memory.bytes > target.shared_bytes_per_block:
        joined = recurrence.joined is not None
        raise _does_not_fit(columns, model.dtype, choices, batch, memory.bytes, target, joined)
    phases = zip(recurrence.phases, memory.phases, strict=True)
    alone = tuple(dataclasses.replace(m, couriers=min(1, m.couriers)) if p.joined else m for p, m in phases)
    return dataclasses.replace(memory, phases=alone)


def _lay_out(columns: Sequence[int], dtype: DType, choices: Choices, batch: int) -> FixedMemory:
    """The same for phases that exchange ``columns`` values each, whether it fits or not."""
    groups = column_groups(batch, choices)
    row_bytes = choices.column_width.value * dtype.size_bytes
    phases, taken = [], 0
    for count in columns:
        chunk = _chunk_bytes(count * row_bytes)
        positions = _padded_positions(count, row_bytes, chunk)
        couriers = _couriers(count * row_bytes, chunk, choices)
        arrivals_at = taken + aligned(groups * positions * row_bytes)
        phases.append(PhaseMemory(chunk, positions, couriers, taken, arrivals_at))
        taken = aligned(arrivals_at + couriers * _ARRIVAL_BYTES, _LINE_BYTES)
    taken += _LINE_BYTES
    return FixedMemory(tuple(phases), taken, taken - _FLAG_BYTES)


def _couriers(group_bytes: int, chunk: int, choices: Choices) -> int:
    """Warps that look after a bulk copy; none where threads load, which is so for ragged sizes too."""
    if choices.fetch.value is not Fetch.BULK or chunk != _ALIGN_BYTES:
        return 0
    return min(choices.couriers.value, choices.warps, -(-group_bytes // _LINE_BYTES))


def _chunk_bytes(group_bytes: int) -> int:
    """The widest access that divides a group's bytes."""
    return next(c for c in (16, 8, 4) if group_bytes % c == 0)


def null_positions(row_bytes: int) -> int:
    """Null positions of an operand, one in each bank: as many as one wavefront reads rows."""
    return _WAVEFRONT_BYTES // row_bytes


def _padded_positions(columns: int, row_bytes: int, chunk: int) -> int:
    """Columns, the null positions, and as many more as keep the next group aligned for chunks."""
    positions = columns + null_positions(row_bytes)
    while positions * row_bytes % max(chunk, row_bytes):
        positions += 1
    return positions


def _does_not_fit(
    columns: Sequence[int],
    dtype: DType,
    choices: Choices,
    batch: int,
    needed: int,
    target: Target,
    joined: bool,
) -> CompileError:
    """``joined``: the last of ``columns`` are inputs, which could be multiplied before the loop."""
    limit = target.shared_bytes_per_block

    def fits(columns: Sequence[int], dtype: DType, batch: int) -> bool:
        other = _rewidened(choices, dtype, batch)
        return other is not None and _lay_out(columns, dtype, other, batch).bytes <= limit

    def fits_short(longest: int) -> bool:
        return fits([min(c, longest) for c in columns], dtype, batch)

    hints = []
    if fitting_batch := next((b for b in range(batch - 1, 0, -1) if fits(columns, dtype, b)), 0):
        hints.append(f"batch {fitting_batch}")
    if longest := _last(fits_short, max(columns)):
        hints.append(f"exchanged vectors of {longest} values")
    if joined and fits(columns[:-1], dtype, batch):
        hints.append("input_products = library, which keeps the inputs out")
    if dtype is DType.FP32 and fits(columns, DType.FP16, batch):
        hints.append("dtype fp16 or bf16, which halves it")
    return fail(
        "E410",
        f"batch {batch} of {max(columns)} exchanged values needs {needed} bytes of shared memory a block; "
        f"{target.name} has {limit}",
        help="this would fit: " + ", or ".join(hints) if hints else "split the cell into smaller ones",
    )


def _rewidened(choices: Choices, dtype: DType, batch: int) -> Choices | None:
    """``choices`` with the load that another batch or type would get; None where the user's forbids it."""
    widths, width = column_widths(dtype), choices.column_width
    if width.by_user:
        return choices if width.value in widths else None
    return dataclasses.replace(
        choices, column_width=dataclasses.replace(width, value=default_width(dtype, batch))
    )


def _last(fits: Callable[[int], bool], beyond: int) -> int:
    """A number below ``beyond`` that fits, found by halving; 0 where none does."""
    low, high = 0, beyond
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
