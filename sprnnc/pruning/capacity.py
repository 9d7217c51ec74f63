"""The densest pruning of a layer that a device keeps on the chip, by the compiler's own plan.

A layer stays on the chip where its plan streams nothing: every slot lies in registers or shared memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from numpy.typing import NDArray

from sprnnc.cell.ir import Model
from sprnnc.diagnostics import fail
from sprnnc.layout.layout import lay_out
from sprnnc.layout.tile import ONE_VALUE
from sprnnc.passes.phases import split_into_phases
from sprnnc.schedule.assemble import assemble
from sprnnc.schedule.choose import choose
from sprnnc.schedule.fit_partition import fit_partition
from sprnnc.schedule.joining import as_chosen
from sprnnc.schedule.memory import fixed_memory
from sprnnc.schedule.plan import Plan
from sprnnc.schedule.registers import layout_options, register_slots, slot_format
from sprnnc.target import Target

Tensors = Mapping[str, NDArray[Any]]
_PRECISION = 0.02  # of the density, relative: a layout takes seconds for each million non-zeros


def plan_of(model: Model, tensors: Tensors, batch: int, target: Target) -> Plan:
    """Stages 3 to 6 of the compiler, without a build. Raises CompileError E402 to E410."""
    recurrence = split_into_phases(model.cell)
    choices = choose(model, recurrence, batch, target, {})
    recurrence = as_chosen(recurrence, choices)
    tile, choices, parts = fit_partition(model, recurrence, choices, tensors, batch, target)
    options = layout_options(model, recurrence, choices, batch, target, tile)
    layout = lay_out(recurrence, tensors, parts, options)
    return assemble(model, recurrence, layout, choices, batch, target)


def streamed_slots(model: Model, tensors: Tensors, batch: int, target: Target) -> int:
    """Slots of a lane that are read from global memory in every step; 0 where all stays on the chip."""
    return sum(phase.streamed_slots for phase in plan_of(model, tensors, batch, target).phases)


def most_nonzeros(model: Model, batch: int, target: Target) -> int:
    """No plan keeps more non-zeros on the chip: registers and shared memory of all blocks, without padding.

    A value has an index of its own where patterns have no blocks; with blocks, none at all is counted.
    """
    recurrence = split_into_phases(model.cell)
    choices = choose(model, recurrence, batch, target, {})
    recurrence = as_chosen(recurrence, choices)
    registers = register_slots(model, recurrence, choices, batch, target, ONE_VALUE)
    shared = target.shared_bytes_per_block - fixed_memory(model, recurrence, choices, batch, target).bytes
    form = slot_format(model, recurrence, ONE_VALUE)
    words = registers * form.words * choices.threads.value + shared // 4
    blocked = any(w.pattern.tile() != (1, 1) for w in model.cell.weights)
    value_bytes = model.dtype.size_bytes if blocked else 4 * form.words
    return choices.all_blocks * words * 4 // value_bytes


def densest(fits: Callable[[float], bool], most: float, least: float = 1e-4) -> float:
    """The largest density up to ``most`` that ``fits``, to two percent, by bisection.

    Raises CompileError E712 where not even ``least`` does.
    """
    if fits(most):
        return most
    low, high = most / 2, most
    while not fits(low):
        low, high = low / 2, low
        if low < least:
            raise fail(
                "E712",
                f"not even a density of {high:.2g} stays on the chip",
                help="choose a larger device, a smaller batch, or dtype fp16",
            )
    while high - low > _PRECISION * low:
        middle = (low + high) / 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return float(f"{low:.4g}")
