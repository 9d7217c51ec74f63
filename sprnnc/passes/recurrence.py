"""Recurrence IR: a cell split at its exchanges.

One step of a persistent kernel is: equations of level 0; then for each phase: publish the
operands, wait for everyone's, multiply, and evaluate the equations of that level.
"""

from __future__ import annotations

from dataclasses import dataclass

from sprnnc.cell.ir import Cell, Equation, Expr, Ref, Space


@dataclass(frozen=True, slots=True)
class InputRows:
    """``name = weight @ operand`` as rows of a stacked input product, from ``first_row`` on."""

    name: str
    weight: str
    rows: Space
    first_row: int


@dataclass(frozen=True, slots=True)
class InputProduct:
    """Matrices that multiply the same ``operand``, stacked; nothing here depends on a state.

    Computed for all steps before the loop, or joined to it. ``operand`` and the equations of ``definitions``
    that it needs read inputs, parameters, rows of earlier input products and each other.
    """

    name: str
    cols: Space
    definitions: tuple[Equation, ...]
    operand: Expr
    parts: tuple[InputRows, ...]

    @property
    def row_count(self) -> int:
        return sum(p.rows.size for p in self.parts)

    @property
    def vector(self) -> str:
        """What the operand is called where the loop multiplies it."""
        return self.operand.name if isinstance(self.operand, Ref) else self.name


@dataclass(frozen=True, slots=True)
class PublishedVector:
    """A vector that every block needs whole: the value called ``name``, computed by its owners."""

    name: str
    space: Space


@dataclass(frozen=True, slots=True)
class Product:
    """``name = weight @ operand`` for the phase's published vector called ``operand``."""

    name: str
    weight: str
    rows: Space
    operand: str


@dataclass(frozen=True, slots=True)
class Phase:
    """What lies between two exchanges: products that read the vectors published at its start.

    Or, ``joined``, products of vectors that are known before the loop, one for each input product: a block
    multiplies them while it waits for phase 1.
    """

    index: int
    published: tuple[PublishedVector, ...]
    products: tuple[Product, ...]
    joined: bool = False

    @property
    def level(self) -> int:
        """The first level of equations that may read the products."""
        return 1 if self.joined else self.index

    @property
    def columns(self) -> int:
        """Length of the concatenated operand."""
        return sum(v.space.size for v in self.published)

    def first_column(self, operand: str) -> int:
        """Where the published vector ``operand`` starts in the concatenated operand."""
        start = 0
        for v in self.published:
            if v.name == operand:
                return start
            start += v.space.size
        raise KeyError(operand)


@dataclass(frozen=True, slots=True)
class LeveledEquation:
    """An equation without matrix products, and the phase after which it can be evaluated (0: before any)."""

    level: int
    equation: Equation


@dataclass(frozen=True, slots=True)
class Recurrence:
    """A cell whose matrix products are named and assigned to phases.

    ``spaces`` are those in which threads own units: of states, products and equations. Every
    expression in ``equations`` and ``output`` is free of MatVec. ``input_products`` are computed before the
    loop, ``joined_products`` in it; these have the last of ``phases``.
    """

    cell: Cell
    spaces: tuple[Space, ...]
    input_products: tuple[InputProduct, ...]
    phases: tuple[Phase, ...]
    equations: tuple[LeveledEquation, ...]
    output: Expr
    output_space: Space
    joined_products: tuple[InputProduct, ...] = ()

    @property
    def exchanges(self) -> tuple[Phase, ...]:
        """The phases that begin with an exchange, in the order of a step."""
        return tuple(p for p in self.phases if not p.joined)

    @property
    def joined(self) -> Phase | None:
        """The phase of ``joined_products``, where there are any."""
        return next((p for p in self.phases if p.joined), None)

    def products_of(self, space: str) -> tuple[Product, ...]:
        """Products whose rows are units of ``space``, in phase order: the order of a unit's table."""
        return tuple(p for phase in self.phases for p in phase.products if p.rows.name == space)
