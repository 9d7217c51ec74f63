"""Pass 3b, Recurrence -> Recurrence: products of the inputs join the loop, for a block to gather in waiting.

Before: ``inputs_1 = [W] @ x`` for all steps before the loop; ``h' = tanh(W_x + U_h)`` after phase 1
After:  phase 2, joined: ``W_x = W @ x``, gathered during phase 1

A product stays before the loop if another one reads its rows, or if phase 1 publishes what depends on it:
then there is nothing to wait for yet.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from sprnnc.cell.ir import Expr, Ref, walk
from sprnnc.passes.phases import verify
from sprnnc.passes.recurrence import (
    InputProduct,
    LeveledEquation,
    Phase,
    Product,
    PublishedVector,
    Recurrence,
)


def join_inputs(recurrence: Recurrence) -> Recurrence:
    """``recurrence`` with every product of the inputs in its loop that can be there; pure."""
    products = _joinable(recurrence)
    if not products:
        return recurrence
    parts = [(p, part) for p in products for part in p.parts]
    read = _read_by(e.equation.value for e in recurrence.equations)
    phase = Phase(
        len(recurrence.phases) + 1,
        tuple(PublishedVector(p.vector, p.cols) for p in products),
        tuple(Product(q.name, q.weight, q.rows, p.vector) for p, q in parts if q.name in read),
        joined=True,
    )
    made = replace(
        recurrence,
        input_products=tuple(p for p in recurrence.input_products if p not in products),
        joined_products=products,
        phases=(*recurrence.phases, phase),
        equations=_after(recurrence.equations, {p.name for p in phase.products}),
    )
    verify(made)
    return made


def _joinable(recurrence: Recurrence) -> tuple[InputProduct, ...]:
    """Products of the inputs that the loop reads, that no other one reads, and that phase 1 does not need."""
    if not recurrence.phases:
        return ()
    products = recurrence.input_products
    needed = _read_by(value for p in products for value in (p.operand, *(e.value for e in p.definitions)))
    needed |= _published_first(recurrence)
    read = _read_by(e.equation.value for e in recurrence.equations)
    names = {p.name: {part.name for part in p.parts} for p in products}
    return tuple(p for p in products if names[p.name] & read and not names[p.name] & needed)


def _published_first(recurrence: Recurrence) -> set[str]:
    """Every name that what phase 1 publishes depends on."""
    needed = {v.name for v in recurrence.phases[0].published}
    for e in reversed(recurrence.equations):
        if e.level == 0 and e.equation.target in needed:
            needed |= _read_by([e.equation.value])
    return needed


def _after(equations: tuple[LeveledEquation, ...], products: set[str]) -> tuple[LeveledEquation, ...]:
    """``equations``, those that depend on ``products`` not before phase 1."""
    late, moved = set(products), []
    for e in equations:
        depends = not late.isdisjoint(_read_by([e.equation.value]))
        if depends:
            late.add(e.equation.target)
        moved.append(replace(e, level=max(e.level, int(depends))))
    return tuple(moved)


def _read_by(values: Iterable[Expr]) -> set[str]:
    return {n.name for value in values for n in walk(value) if isinstance(n, Ref)}
