"""How a slot is packed, and how many of them a thread can keep in its registers."""

from __future__ import annotations

from sprnnc.cell.ir import DType, Model
from sprnnc.layout.options import LayoutOptions
from sprnnc.passes.recurrence import Recurrence
from sprnnc.schedule.choices import Choices, Encoding, UnitOrder, Unpack
from sprnnc.schedule.memory import column_groups, fixed_memory, null_positions
from sprnnc.target import Target

_NARROW_POSITIONS = 1 << 16
# Registers that the kernel needs besides slots: addresses, counters, loads in flight. Taken low: a
# plan that spills comes back with a smaller budget.
_BASE_REGISTERS = 40
# What may lie before the operands in a block's shared memory, so that an address has room as well.
_RESERVED_BYTES = 8192


def slot_encoding(model: Model, recurrence: Recurrence) -> Encoding:
    """One word where the value has 16 bits and every position fits into the other 16."""
    widest = max((p.columns + null_positions(4) for p in recurrence.phases), default=0)
    narrow = model.dtype is not DType.FP32 and widest <= _NARROW_POSITIONS
    return Encoding.NARROW if narrow else Encoding.WIDE


def position_step(encoding: Encoding, positions: int, row_bytes: int) -> int:
    """What a slot's field holds for each position: its bytes, so that no shift is needed, if they fit."""
    fits = encoding is Encoding.WIDE or positions * row_bytes + _RESERVED_BYTES <= _NARROW_POSITIONS
    return row_bytes if fits else 1


def register_slots(model: Model, recurrence: Recurrence, choices: Choices, batch: int, target: Target) -> int:
    """Slots of one thread, over all phases: those asked for, or as many as are likely to fit."""
    if choices.register_slots.value >= 0:
        return choices.register_slots.value
    threads, blocks = choices.threads.value, choices.blocks.value
    groups, width = column_groups(batch, choices), choices.column_width.value
    owned = sum(-(-s.size // (blocks * choices.warps)) for s in recurrence.spaces)  # units of a lane, if few
    states = len(recurrence.cell.states) + len(recurrence.cell.params) + 2
    per_thread = min(target.max_registers_per_thread, target.registers_per_sm // threads)
    free = per_thread - _BASE_REGISTERS - owned * groups * states - groups * width
    words = slot_encoding(model, recurrence).value * (2 if choices.unpack.value is Unpack.ONCE else 1)
    return max(0, free) // words


def decide_unpack(choices: Choices, slots: int, registers: int) -> Unpack:
    """Once where two registers for each of a lane's ``slots`` fit into room for ``registers`` single ones."""
    if choices.unpack.value is not Unpack.FITTING:
        return choices.unpack.value
    return Unpack.ONCE if 2 * slots <= registers else Unpack.EACH_STEP


def layout_options(
    model: Model, recurrence: Recurrence, choices: Choices, batch: int, target: Target
) -> LayoutOptions:
    """What the layout needs of the choices."""
    lanes = choices.lanes_per_row.value
    return LayoutOptions(
        warps=choices.warps,
        together=null_positions(choices.column_width.value * model.dtype.size_bytes),
        width=choices.column_width.value,
        groups=column_groups(batch, choices),
        bank_order=choices.bank_order.value,
        even_banks=choices.unit_order.value is UnitOrder.EVEN,
        lanes_per_row=None if lanes < 0 else lanes,
        register_slots=register_slots(model, recurrence, choices, batch, target),
        shared_bytes=_shared_bytes(model, recurrence, choices, batch, target),
        slot_words=slot_encoding(model, recurrence).value,
        slot_instructions=slot_instructions(
            model.dtype, model.accumulate, choices, column_groups(batch, choices), choices.unpack.value
        ),
        may_unpack=choices.unpack.value is Unpack.FITTING,
    )


def _shared_bytes(model: Model, recurrence: Recurrence, choices: Choices, batch: int, target: Target) -> int:
    """Shared memory that slots may take."""
    if choices.shared_slots.value == 0:
        return 0
    return target.shared_bytes_per_block - fixed_memory(model, recurrence, choices, batch, target).bytes


def slot_instructions(dtype: DType, accumulate: DType, choices: Choices, groups: int, when: Unpack) -> float:
    """Instructions of one slot: unpacking, then a load and the multiplications of each column group."""
    width = choices.column_width.value
    if accumulate is DType.FP16:
        joins = 5 * width / 2 / (2 * choices.chain.value)  # chains added, two halves converted and added
        multiply = width / 2 + joins
    else:
        multiply = width if dtype is DType.FP32 else 2 * width
    unpack = 1 if when is Unpack.EACH_STEP else 0
    return unpack + groups * (1 + multiply)
