"""Chooses blocks, warps, widths and protocol for a recurrence on a target, or takes the user's word."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

from sprnnc.cell.ir import DType, Model, ScheduleEntry
from sprnnc.diagnostics import CompileError, Diagnostic, near_match, whole_number
from sprnnc.layout.options import LANES_PER_ROW, BankOrder
from sprnnc.passes.recurrence import Recurrence
from sprnnc.schedule.choices import (
    Activations,
    Choice,
    Choices,
    Exchange,
    Fetch,
    Indices,
    InputProducts,
    Resets,
    UnitOrder,
    Unpack,
)
from sprnnc.schedule.indices import decide_indices
from sprnnc.schedule.joining import LIBRARY_REASON, NOT_DEALT, as_chosen, decide_joining, why_never_joined
from sprnnc.schedule.widths import column_widths, default_width
from sprnnc.target import Target

MAX_BATCH = 64
MAX_DEVICES = 8  # of one host, each of which reaches the memory of every other
_EXCHANGE_BUDGET_BYTES = 64 << 20
_SMALL_EXCHANGE_BYTES, _FEW_THREADS, _MANY_COLUMNS = 8192, 256, 16
_MANY_PRODUCTS = 8  # of several layers in one kernel (H200: four LSTMs of 512, 2.3 us a step instead of 4.0)
_READY_EARLY_CYCLES = 30  # few warps with few units are done sooner, and would look too early
_ENUMS: dict[str, type[Enum]] = {
    "exchange": Exchange,
    "fetch": Fetch,
    "activations": Activations,
    "bank_order": BankOrder,
    "unit_order": UnitOrder,
    "input_products": InputProducts,
    "resets": Resets,
    "indices": Indices,
    "unpack": Unpack,
}


def choose(
    model: Model, recurrence: Recurrence, batch: int, target: Target, overrides: Mapping[str, object]
) -> Choices:
    """Every decision with its reason. Raises CompileError E402 to E404 for what cannot be."""
    made = _own_choices(model, recurrence, batch, target)
    entries = [*model.schedule, *(_entry(name, value) for name, value in overrides.items())]
    errors: list[Diagnostic] = []
    for entry in entries:
        error = _override(made, entry, target, batch, model.dtype)
        if error:
            errors.append(error)
    if not made["blocks"].by_user:
        made["blocks"] = _blocks(recurrence, target, made["devices"].value)
    if made["exchange"].value is Exchange.BARRIER and not made["fetch"].by_user:
        made["fetch"] = Choice(Fetch.THREADS, "behind a barrier everything is there at once")
    errors += [*_contradictions(made, target), *_not_on_several_devices(made, recurrence)]
    if errors:
        raise CompileError(tuple(errors))
    choices = Choices(**made)
    way = decide_joining(model, recurrence, choices, batch, target)
    choices = dataclasses.replace(choices, input_products=way)
    if way.value is InputProducts.JOINED and (why := why_never_joined(recurrence)):
        raise _cannot_be("input_products", "joined", why, entries)
    indices = decide_indices(model, as_chosen(recurrence, choices), choices, batch, target)
    if choices.indices.value is Indices.BLOCK and indices.value is Indices.VALUE:
        raise _cannot_be("indices", "block", indices.reason, entries)
    return dataclasses.replace(choices, indices=indices)


def _cannot_be(name: str, value: str, why: str, entries: Sequence[ScheduleEntry]) -> CompileError:
    span = next(e.span for e in reversed(entries) if e.name == name)
    return CompileError((Diagnostic("E404", f"{name} = {value} cannot be: {why}", span),))


def with_fewer_threads(choices: Choices) -> Choices | None:
    """Half the threads, so that each may have twice the registers; None where that cannot be or help."""
    threads = choices.threads
    if threads.by_user or threads.value <= _FEW_THREADS:
        return None
    fewer = max(_FEW_THREADS, threads.value // 2)
    why = f"{threads.value} would have too few registers for their units' states"
    return dataclasses.replace(choices, threads=Choice(fewer, why))


def _contradictions(made: dict[str, Choice[Any]], target: Target) -> list[Diagnostic]:
    """Decisions that exclude each other."""
    if made["fetch"].value is not Fetch.BULK:
        return []
    if not target.bulk_copy:
        return [Diagnostic("E404", f"fetch = bulk cannot be: {target.name} has no bulk copies")]
    if made["exchange"].value is Exchange.BARRIER:
        why = "the copy engine is not ordered after a barrier of threads"
        return [Diagnostic("E404", f"fetch = bulk with exchange = barrier cannot be: {why}")]
    return []


def _not_on_several_devices(made: dict[str, Choice[Any]], recurrence: Recurrence) -> list[Diagnostic]:
    """What has no meaning yet where the units of a layer are split over devices."""
    devices = made["devices"].value
    if devices == 1:
        return []
    found = []
    if made["input_products"].value is InputProducts.JOINED:
        found.append(("with input_products = joined ", NOT_DEALT))
    if made["resets"].value is Resets.BY_MASK:
        found.append(("with resets = by_mask ", "a mask was not tried on several devices yet"))
    if recurrence.cell.output_lag:
        found.append(
            ("for layers in one wavefront ", "layers that follow each other share the memory of one device")
        )
    return [Diagnostic("E404", f"devices = {devices} {what}cannot be: {why}") for what, why in found]


def _own_choices(model: Model, recurrence: Recurrence, batch: int, target: Target) -> dict[str, Choice[Any]]:
    width = default_width(model.dtype, batch)
    exchanged = max((p.columns for p in recurrence.phases), default=1)
    step_bytes = exchanged * -(-batch // width) * width * model.dtype.size_bytes
    steps = max(1, min(4096, _EXCHANGE_BUDGET_BYTES // step_bytes))
    return {
        "devices": Choice(1, "values that cross a link to another device come later"),
        "blocks": _blocks(recurrence, target, 1),
        "threads": _threads(recurrence, target, step_bytes, -(-batch // width) * width),
        "exchange": Choice(Exchange.LAMPORT, "the data is its own flag: no barrier between blocks"),
        "fetch": _fetch(target),
        "couriers": Choice(
            max(8, min(16, step_bytes // 1024)), "warps that look after a bulk copy of about 1 KiB each"
        ),
        "polls_in_flight": Choice(2, "two polls of a thread overlap"),
        "first_poll_cycles": _first_poll(target, step_bytes),
        "activations": _activations(model.dtype),
        "column_width": Choice(
            width, f"one {width * model.dtype.size_bytes}-byte load serves {min(width, batch)} batch columns"
        ),
        "lanes_per_row": Choice(-1, "whatever the layout finds to take the fewest cycles"),
        "bank_order": Choice(
            BankOrder.FOLDED, "the fewest slots, with no bank busier than its non-zeros make it"
        ),
        "unit_order": Choice(UnitOrder.EVEN, "load groups read every bank about equally often"),
        "indices": Choice(Indices.FITTING, "whatever part of the blocks takes the fewest cycles"),
        "register_slots": Choice(-1, "as many as the register file holds"),
        "shared_slots": Choice(-1, "as many as shared memory holds"),
        "unpack": Choice(Unpack.FITTING, "once spares an instruction a slot, but takes a second register"),
        "in_flight": Choice(16, "slots whose operand is loaded at once; fewer if that spills"),
        "unroll": Choice(4, "loads of slots that overlap where they come from memory, 16 bytes each"),
        "prefetch": Choice(4, "streamed loads of 16 bytes on their way while the block waits"),
        "chain": Choice(
            8,
            "fp16 additions in a row before fp32 takes over: more precise than rounding the output",
        ),
        "input_products": Choice(InputProducts.LIBRARY, LIBRARY_REASON),
        "resets": Choice(Resets.NONE, "a mask costs every step a look at it: say by_mask to have it"),
        "steps_per_launch": Choice(
            steps, f"each step has its own exchange slots: {step_bytes} bytes a step and phase"
        ),
    }


def _blocks(recurrence: Recurrence, target: Target, devices: int) -> Choice[int]:
    """Blocks of each device."""
    units = max(s.size for s in recurrence.spaces)
    per_block = -(-units // (devices * target.sms))
    blocks = -(-units // (devices * per_block))
    where = f"{target.sms} SMs" if devices == 1 else f"{devices} x {target.sms} SMs"
    return Choice(blocks, f"{units} units over {where}: {per_block} a block, one block an SM")


def _threads(recurrence: Recurrence, target: Target, step_bytes: int, columns: int) -> Choice[int]:
    if columns > _MANY_COLUMNS and target.default_threads > _FEW_THREADS:
        return Choice(_FEW_THREADS, f"sums of {columns} columns need registers: fewer threads have more each")
    if step_bytes <= _SMALL_EXCHANGE_BYTES and target.default_threads > _FEW_THREADS:
        return Choice(_FEW_THREADS, "a short step: fewer warps meet sooner, and each has more registers")
    products = max(len(recurrence.products_of(s.name)) for s in recurrence.spaces)
    if products > _MANY_PRODUCTS and target.default_threads > _FEW_THREADS:
        return Choice(_FEW_THREADS, f"{products} products of a unit: fewer threads keep more slots each")
    return Choice(target.default_threads, "enough warps to hide latency, 128 registers each on a GPU")


def _first_poll(target: Target, step_bytes: int) -> Choice[int]:
    """A copy that comes before the data only delays the stores that it waits for, and larger ones more."""
    if not target.first_poll_cycles:
        return Choice(0, "there is nothing to wait for")
    cycles = target.first_poll_cycles + max(0, 11 * (step_bytes // 1024 - 16))
    if step_bytes <= _SMALL_EXCHANGE_BYTES:
        cycles += _READY_EARLY_CYCLES
    return Choice(min(cycles, 300), "what the others publish is not there before: an earlier look delays it")


def _activations(dtype: DType) -> Choice[Activations]:
    if dtype is DType.FP32:
        return Choice(Activations.ACCURATE, "fp32 keeps more bits than the special function unit gives")
    return Choice(
        Activations.FAST, f"their error is that of rounding to {dtype.value}, and they take a few cycles"
    )


def _fetch(target: Target) -> Choice[Fetch]:
    if target.bulk_copy:
        return Choice(Fetch.BULK, "the copy engine needs no registers and leaves the warps free")
    return Choice(Fetch.THREADS, f"{target.name} has no bulk copies")


def _entry(name: str, value: object) -> ScheduleEntry:
    if isinstance(value, Enum):
        value = value.value
    return ScheduleEntry(str(name), value)  # type: ignore[arg-type]  # checked by _override


def _override(
    made: dict[str, Choice[Any]], entry: ScheduleEntry, target: Target, batch: int, dtype: DType
) -> Diagnostic | None:
    """Puts the user's value in place, or says why it cannot be."""
    if entry.name not in made:
        near = near_match(entry.name, made)
        hint = f"did you mean '{near}'? " if near else ""
        known = ", ".join(f.name for f in dataclasses.fields(Choices))
        return Diagnostic(
            "E402", f"unknown decision '{entry.name}'", entry.span, help=f"{hint}decisions: {known}"
        )
    if entry.name in _ENUMS:
        return _override_enum(made, entry, _ENUMS[entry.name])
    value = whole_number(entry.value)
    if value is None:
        return Diagnostic("E403", f"{entry.name} = {entry.value!r}: expected an integer", entry.span)
    why = _refusal(entry.name, value, target, batch, dtype)
    if why:
        return Diagnostic("E404", f"{entry.name} = {value} cannot be: {why}", entry.span)
    made[entry.name] = Choice(value, "the schedule says so", by_user=True)
    return None


def _override_enum(made: dict[str, Choice[Any]], entry: ScheduleEntry, kind: type[Enum]) -> Diagnostic | None:
    try:
        made[entry.name] = Choice(kind(entry.value), "the schedule says so", by_user=True)
    except ValueError:
        names = " or ".join(k.value for k in kind)
        return Diagnostic("E403", f"{entry.name} = {entry.value!r}: expected {names}", entry.span)
    return None


def _refusal(name: str, value: int, target: Target, batch: int, dtype: DType) -> str | None:
    match name:
        case "threads" if value % 32 or not 32 <= value <= target.max_threads_per_block:
            return f"expected a multiple of 32 from 32 to {target.max_threads_per_block}"
        case "blocks" if not 1 <= value <= target.sms:
            return f"{target.name} keeps 1 to {target.sms} blocks resident, one an SM"
        case "devices" if not 1 <= value <= MAX_DEVICES:
            return f"expected 1 to {MAX_DEVICES} devices of one host"
        case "column_width" if value not in column_widths(dtype):
            return f"{dtype.value} loads hold {', '.join(map(str, column_widths(dtype)))} columns"
        case "lanes_per_row":
            allowed = (-1, *LANES_PER_ROW)
            return None if value in allowed else f"expected one of {', '.join(map(str, allowed))} (-1: any)"
        case "register_slots" | "shared_slots":
            return None if value >= -1 else "expected -1 (as many as fit), or a number of slots from 0"
        case "polls_in_flight" | "unroll" if not 1 <= value <= 16:
            return "expected 1 to 16"
        case "prefetch" if not 1 <= value <= 16:
            return "expected 1 to 16"
        case "in_flight" if not 1 <= value <= 64:
            return "expected 1 to 64 loads"
        case "couriers" if not 1 <= value <= 32:
            return "expected 1 to 32 warps"
        case "first_poll_cycles" if not 0 <= value <= 10000:
            return "expected 0 to 10000 cycles"
        case "chain" if not 1 <= value <= 64:
            return "expected 1 to 64: a longer fp16 chain loses more than it gains"
        case "steps_per_launch" if not 1 <= value <= 1 << 20:
            return "expected 1 to 1048576"
    return None
