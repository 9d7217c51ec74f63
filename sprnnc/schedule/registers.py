"""How a slot is packed, and how many of them a thread can keep in its registers."""

from __future__ import annotations

from sprnnc.cell.ir import DType, Model
from sprnnc.layout.options import LayoutOptions
from sprnnc.layout.tile import Tile
from sprnnc.passes.recurrence import Recurrence
from sprnnc.schedule.choices import Choices, Encoding, UnitOrder, Unpack
from sprnnc.schedule.free_registers import free_registers
from sprnnc.schedule.memory import column_groups, fixed_memory, null_positions
from sprnnc.schedule.slot_format import SlotFormat
from sprnnc.target import Target

_NARROW_POSITIONS = 1 << 16
# What may lie before the operands in a block's shared memory, so that an address has room as well.
_RESERVED_BYTES = 8192


def slot_format(model: Model, recurrence: Recurrence, tile: Tile) -> SlotFormat:
    """Tiles where an index serves several values; else one word where value and positions have 16 bits."""
    if tile.values > 1:
        return SlotFormat(Encoding.BLOCK, model.dtype, tile)
    widest = max((p.columns + null_positions(4) for p in recurrence.phases), default=0)
    narrow = model.dtype is not DType.FP32 and widest <= _NARROW_POSITIONS
    return SlotFormat(Encoding.NARROW if narrow else Encoding.WIDE, model.dtype, tile)


def position_step(encoding: Encoding, operand_at_bytes: int, positions: int, row_bytes: int) -> int:
    """What a slot's field holds for each position: its bytes, so that no shift is needed, if they fit.

    A slot in a register holds an address, to which all that lies before the operand is added.
    """
    last = _RESERVED_BYTES + operand_at_bytes + positions * row_bytes
    return row_bytes if encoding is not Encoding.NARROW or last <= _NARROW_POSITIONS else 1


def register_slots(
    model: Model, recurrence: Recurrence, choices: Choices, batch: int, target: Target, tile: Tile
) -> int:
    """Slots of one thread, over all phases: those asked for, or as many as are likely to fit."""
    if choices.register_slots.value >= 0:
        return choices.register_slots.value
    groups, width = column_groups(batch, choices), choices.column_width.value
    warps = choices.all_blocks * choices.warps
    owned = sum(-(-s.size // warps) for s in recurrence.spaces)  # units of a lane, if few
    states = len(recurrence.cell.states) + len(recurrence.cell.params) + 2
    form = slot_format(model, recurrence, tile)
    free = free_registers(choices, target) - owned * groups * states - groups * width * tile.rows
    words = form.words * (2 if choices.unpack.value is Unpack.ONCE else 1)
    return max(0, free) // words


def decide_unpack(choices: Choices, slots: int, registers: int) -> Unpack:
    """Once where two registers for each of a lane's ``slots`` fit into room for ``registers`` single ones."""
    if choices.unpack.value is not Unpack.FITTING:
        return choices.unpack.value
    return Unpack.ONCE if 2 * slots <= registers else Unpack.EACH_STEP


def layout_options(
    model: Model, recurrence: Recurrence, choices: Choices, batch: int, target: Target, tile: Tile
) -> LayoutOptions:
    """What the layout needs of the choices."""
    lanes = choices.lanes_per_row.value
    form = slot_format(model, recurrence, tile)
    return LayoutOptions(
        warps=choices.warps,
        together=null_positions(choices.column_width.value * model.dtype.size_bytes * tile.run),
        width=choices.column_width.value,
        groups=column_groups(batch, choices),
        bank_order=choices.bank_order.value,
        even_banks=choices.unit_order.value is UnitOrder.EVEN,
        lanes_per_row=None if lanes < 0 else lanes,
        register_slots=register_slots(model, recurrence, choices, batch, target, tile),
        shared_bytes=_shared_bytes(model, recurrence, choices, batch, target),
        slot_words=form.words,
        slot_instructions=slot_instructions(
            form, model.accumulate, choices, column_groups(batch, choices), choices.unpack.value
        ),
        unpack_instructions=unpack_instructions(form) if choices.unpack.value is Unpack.FITTING else 0,
        tile=tile,
    )


def _shared_bytes(model: Model, recurrence: Recurrence, choices: Choices, batch: int, target: Target) -> int:
    """Shared memory that slots may take."""
    if choices.shared_slots.value == 0:
        return 0
    return target.shared_bytes_per_block - fixed_memory(model, recurrence, choices, batch, target).bytes


def slot_instructions(
    form: SlotFormat, accumulate: DType, choices: Choices, groups: int, when: Unpack
) -> float:
    """Instructions of one slot: unpacking, then the loads and multiplications of each column group.

    Each load of a tile but the first has an address of its own.
    """
    width, tile = choices.column_width.value, form.tile
    wide = form.dtype is DType.FP32
    if accumulate is DType.FP16:
        joins = 5 * width / 2 * tile.columns / (2 * choices.chain.value)  # chains added, halves converted
        multiply = tile.rows * (tile.columns * width / 2 + joins)
    else:
        multiply = tile.values * width + (0 if wide else tile.columns * width)
    unpack = unpack_instructions(form) if when is Unpack.EACH_STEP else 0
    return unpack + tile.loads - 1 + groups * (tile.loads + multiply)


def unpack_instructions(form: SlotFormat) -> int:
    """Instructions that take a slot apart: one, or for a tile one for each value that is a half."""
    if form.encoding is not Encoding.BLOCK:
        return 1
    return 0 if form.dtype is DType.FP32 else form.tile.values
