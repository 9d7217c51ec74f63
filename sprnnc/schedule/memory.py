"""Lays out a block's shared memory: the operands of every exchange and the row totals after it.

This part does not depend on the matrices, so a size that no device can hold is refused before
any weight is read.
"""

from __future__ import annotations

from dataclasses import dataclass

from sprnnc.cell.ir import DType, Model
from sprnnc.diagnostics import CompileError, fail
from sprnnc.passes.recurrence import Phase, Recurrence
from sprnnc.schedule.choices import Choices
from sprnnc.target import Target

_ALIGN_BYTES = 16


@dataclass(frozen=True, slots=True)
class PhaseMemory:
    """Where a phase keeps its operand and row totals; ``positions`` and chunks as in PhasePlan."""

    chunk_bytes: int
    positions: int
    operand_at_bytes: int
    totals_at_bytes: int


@dataclass(frozen=True, slots=True)
class FixedMemory:
    """Shared memory that is taken whatever the weights are; ``bytes`` in all."""

    phases: tuple[PhaseMemory, ...]
    bytes: int


def column_groups(batch: int, choices: Choices) -> int:
    """Loads that the batch columns of one operand position take."""
    return -(-batch // choices.column_width.value)


def aligned(size_bytes: int) -> int:
    """``size_bytes`` rounded up, so that what follows can be read 16 bytes at once."""
    return -(-size_bytes // _ALIGN_BYTES) * _ALIGN_BYTES


def fixed_memory(
    model: Model, recurrence: Recurrence, choices: Choices, batch: int, target: Target
) -> FixedMemory:
    """Operands and totals of every phase. Raises CompileError E410, which says what would fit."""
    groups = column_groups(batch, choices)
    row_bytes = choices.column_width.value * model.dtype.size_bytes
    total_bytes = groups * choices.column_width.value * 4
    phases, taken = [], 0
    for phase in recurrence.phases:
        chunk = _chunk_bytes(phase.columns * row_bytes)
        positions = _padded_positions(phase.columns, row_bytes, chunk)
        totals_at = taken + aligned(groups * positions * row_bytes)
        phases.append(PhaseMemory(chunk, positions, taken, totals_at))
        taken = totals_at + aligned(_rows_of_a_block(phase, choices) * total_bytes)
    if taken > target.shared_bytes_per_block:
        raise _does_not_fit(model, recurrence, batch, groups, taken, target)
    return FixedMemory(tuple(phases), taken)


def _rows_of_a_block(phase: Phase, choices: Choices) -> int:
    """Places for row totals: the rows of a block, rounded up to whole ranks of warps."""
    rows = sum(-(-p.rows.size // choices.blocks.value) for p in phase.products)
    return -(-rows // choices.warps) * choices.warps


def _chunk_bytes(group_bytes: int) -> int:
    """The widest access that divides a group's bytes."""
    return next(c for c in (16, 8, 4) if group_bytes % c == 0)


def _padded_positions(columns: int, row_bytes: int, chunk: int) -> int:
    """Columns, a null position, and as many more as keep the next group aligned for chunks."""
    positions = columns + 1
    while positions * row_bytes % max(chunk, row_bytes):
        positions += 1
    return positions


def _does_not_fit(
    model: Model, recurrence: Recurrence, batch: int, groups: int, needed: int, target: Target
) -> CompileError:
    size = max(p.columns for p in recurrence.phases)
    limit = target.shared_bytes_per_block
    fitting_batch = int(batch * limit / needed) if groups > 1 else 0
    hints = [f"batch {fitting_batch}"] if fitting_batch else []
    hints.append(f"exchanged vectors of about {int(size * limit / needed)} values")
    if model.dtype is DType.FP32:
        hints.append("dtype fp16 or bf16, which halves it")
    return fail(
        "E410",
        f"batch {batch} of {size} exchanged values needs {needed} bytes of shared memory a block; "
        f"{target.name} has {limit}",
        help="this would fit: " + ", or ".join(hints),
    )
