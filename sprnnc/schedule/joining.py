"""Whether products of the inputs leave the loop or join it: by what is known before any weight is read.

Joined, a product costs no GEMM and no fp32 rows for every step, and takes place while a block waits anyway.
But its slots take room beside those of the recurrence, and what takes longer than the wait adds to a step.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from sprnnc.cell.ir import Cell, Model
from sprnnc.diagnostics import CompileError
from sprnnc.layout.tile import ONE_VALUE
from sprnnc.passes.join_inputs import join_inputs
from sprnnc.passes.phases import split_into_phases
from sprnnc.passes.recurrence import Recurrence
from sprnnc.schedule.choices import Choice, Choices, InputProducts
from sprnnc.schedule.estimate import gather_cycles
from sprnnc.schedule.indices import pattern_tile
from sprnnc.schedule.memory import fixed_memory
from sprnnc.schedule.registers import register_slots, slot_format
from sprnnc.target import Target

_SPARSE = 0.5  # denser than that, a dense product is faster whatever the sizes
_PADDED = 1.1  # slots for each non-zero, about
# Microseconds that a step takes longer with joined products, however few (H200: LSTM 512 and 1024 take
# 0.18 to 0.25 more at 1 and 4 columns): they keep the warps busy that would ask for what others publish.
_JOINED_US = 0.2
LIBRARY_REASON = "one dense product of all steps, which vendors make fast"
NOT_DEALT = "products in the loop are not dealt to several devices yet"


def recurrence_of(cell: Cell, choices: Choices) -> Recurrence:
    """The recurrence of ``cell`` as ``choices`` would have it."""
    return as_chosen(split_into_phases(cell), choices)


def as_chosen(recurrence: Recurrence, choices: Choices) -> Recurrence:
    """``recurrence``, with its inputs joined where ``choices`` say so."""
    joined = choices.input_products.value is InputProducts.JOINED
    return join_inputs(recurrence) if joined else recurrence


def why_never_joined(recurrence: Recurrence) -> str:
    """Why nothing could be joined, whatever is wanted; empty where something can."""
    if not recurrence.input_products:
        return "there is no product of the inputs"
    if not recurrence.phases:
        return "no block ever waits for another"
    if join_inputs(recurrence).joined is None:
        return "phase 1 publishes what depends on the products of the inputs, or these on each other"
    return ""


def decide_joining(
    model: Model, recurrence: Recurrence, choices: Choices, batch: int, target: Target
) -> Choice[InputProducts]:
    """The decision with its reason; the user's own stays."""
    if choices.input_products.by_user:
        return choices.input_products
    if why_never_joined(recurrence) or _all_dense(model, recurrence):
        return choices.input_products
    why = _why_not(model, recurrence, choices, batch, target)
    if why:
        return Choice(InputProducts.LIBRARY, f"{LIBRARY_REASON}: {why}")
    return Choice(
        InputProducts.JOINED, "they are sparse and take less time than a block waits for the others"
    )


def with_products_before(choices: Choices) -> Choices | None:
    """Products of the inputs before the loop, where joined they left too little room; None if the user's."""
    decided = choices.input_products
    if decided.value is not InputProducts.JOINED or decided.by_user:
        return None
    why = f"{LIBRARY_REASON}: joined, it would leave a thread too few registers"
    return dataclasses.replace(choices, input_products=Choice(InputProducts.LIBRARY, why))


def _why_not(model: Model, recurrence: Recurrence, choices: Choices, batch: int, target: Target) -> str:
    """Why joining would not pay, or might not; empty where it should."""
    if choices.devices.value > 1:
        return NOT_DEALT
    joined = join_inputs(recurrence)
    dense = _not_sparse(model, joined)
    if dense:
        return dense
    if joined.input_products:
        return "some of them cannot be in the loop"
    if pattern_tile(joined)[:2] != pattern_tile(recurrence)[:2]:
        return "in the loop they would leave larger blocks without one index"
    try:
        fixed_memory(model, joined, choices, batch, target)
    except CompileError:
        return "the inputs of a step do not fit into shared memory as well"
    counts = _counts(model, joined)
    slots = _slots_on_chip(model, joined, choices, batch, target)
    nonzeros = sum(int(n.sum()) for n in counts.values())
    if nonzeros * _PADDED > slots:
        return f"about {nonzeros} non-zeros would not all stay on the chip"
    wait = wait_cycles(target, _exchanged_bytes(model, recurrence, choices, batch), choices)
    if wait is None:
        return f"how long a block of {target.name} waits was not measured"
    both, alone = (
        gather_cycles(model, r, choices, counts, ONE_VALUE, batch, target) for r in (joined, recurrence)
    )
    if both - alone > wait:
        return f"in the loop it takes about {both - alone} cycles, and a block waits for {wait}"
    before = _dense_us(joined, batch, target)
    if before is not None and before < _JOINED_US:
        return f"it takes {before:.2f} us a step of a long sequence, and joined about {_JOINED_US} us"
    return ""


def _dense_us(joined: Recurrence, batch: int, target: Target) -> float | None:
    """Microseconds a step that a library takes for the products."""
    if target.dense_tflops is None:
        return None
    values = sum(p.row_count * p.cols.size for p in joined.joined_products)
    return 2e-6 * values * batch / target.dense_tflops


def _all_dense(model: Model, recurrence: Recurrence) -> bool:
    parts = [q for p in recurrence.input_products for q in p.parts]
    return all(model.cell.weight(q.weight).pattern.declared_density() == 1.0 for q in parts)


def _not_sparse(model: Model, joined: Recurrence) -> str:
    """Which matrix of the inputs has too high a density to join, or none that is known yet."""
    names = dict.fromkeys(q.weight for p in joined.joined_products for q in p.parts)
    for name in names:
        density = model.cell.weight(name).pattern.declared_density()
        if density is None:
            return f"no density is declared for {name}"
        if density > _SPARSE:
            return f"{name} is {model.cell.weight(name).pattern.describe()}"
    return ""


def _counts(model: Model, joined: Recurrence) -> dict[str, np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """Non-zeros by row as declared, all rows alike; where nothing is declared, every entry."""
    names = {p.weight for phase in joined.phases for p in phase.products}
    counts = {}
    for w in model.cell.weights:
        if w.name in names:
            density = w.pattern.declared_density()
            each = w.cols.size * (1.0 if density is None else density)
            counts[w.name] = np.full(w.rows.size, round(each), np.int64)
    return counts


def _slots_on_chip(model: Model, joined: Recurrence, choices: Choices, batch: int, target: Target) -> int:
    """Non-zeros that registers and shared memory of all blocks hold, with an index each."""
    form = slot_format(model, joined, ONE_VALUE)
    registers = register_slots(model, joined, choices, batch, target, ONE_VALUE) * choices.threads.value
    free = target.shared_bytes_per_block - fixed_memory(model, joined, choices, batch, target).bytes
    return choices.blocks.value * (registers + free // (4 * form.words))


def _exchanged_bytes(model: Model, recurrence: Recurrence, choices: Choices, batch: int) -> int:
    """Bytes of phase 1's exchange."""
    width = choices.column_width.value
    return recurrence.phases[0].columns * -(-batch // width) * width * model.dtype.size_bytes


def wait_cycles(target: Target, exchanged_bytes: int, choices: Choices) -> int | None:
    """Cycles from a block's first look until it has what others publish; None where nothing was measured."""
    wait = target.exchange_floor_us(exchanged_bytes)
    if wait is None or target.clock_ghz is None:
        return None
    return max(0, round(wait * target.clock_ghz * 1000) - choices.first_poll_cycles.value)
