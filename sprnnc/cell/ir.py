"""Cell IR: one time step of a recurrent cell as typed equations over vectors.

A ``Cell`` is what the checker hands to every later stage and what the reference interprets. All
vectors of one cell carry a batch dimension implicitly: a value of size ``H`` is ``[H, B]`` at run
time. Sizes are resolved integers; the symbolic name stays, because two vectors may be combined
elementwise only if they live in the same *space* (the same size symbol), whatever the numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from sprnnc.diagnostics import NO_SPAN, Span
from sprnnc.sparsity.patterns import Pattern


class DType(Enum):
    """Storage type of weights and of exchanged vectors."""

    FP32 = "fp32"
    FP16 = "fp16"
    BF16 = "bf16"

    @property
    def size_bytes(self) -> int:
        return 4 if self is DType.FP32 else 2


class UnaryOp(Enum):
    """Elementwise functions of one argument; the value is the name in the language."""

    NEG = "-"
    SIGMOID = "sigmoid"
    TANH = "tanh"
    RELU = "relu"
    EXP = "exp"
    LOG = "log"
    ABS = "abs"
    SOFTPLUS = "softplus"


class BinaryOp(Enum):
    """Elementwise functions of two arguments; the value is the name in the language."""

    ADD = "+"
    SUB = "-"
    MUL = "*"
    DIV = "/"
    MIN = "min"
    MAX = "max"


@dataclass(frozen=True, slots=True)
class Space:
    """An index space: the symbol of a size (``H``) and its value in this instantiation."""

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Number:
    """A scalar literal or a named constant of the cell; ``name`` is empty for a literal."""

    value: float
    name: str = ""
    span: Span = field(default=NO_SPAN, compare=False)


@dataclass(frozen=True, slots=True)
class Ref:
    """The value of an input, a state (old: ``h``; new: ``h'``), a vector parameter or an equation."""

    name: str
    space: Space
    span: Span = field(default=NO_SPAN, compare=False)


@dataclass(frozen=True, slots=True)
class Unary:
    """op(a), elementwise."""

    op: UnaryOp
    a: Expr
    span: Span = field(default=NO_SPAN, compare=False)


@dataclass(frozen=True, slots=True)
class Binary:
    """a op b, elementwise; a scalar side is broadcast. ``clamp(x, lo, hi)`` is MIN(MAX(x, lo), hi)."""

    op: BinaryOp
    a: Expr
    b: Expr
    span: Span = field(default=NO_SPAN, compare=False)


@dataclass(frozen=True, slots=True)
class MatVec:
    """y[rows] = A[rows, cols] @ x[cols]; A may be sparse, x is dense."""

    weight: str
    rows: Space
    operand: Expr
    span: Span = field(default=NO_SPAN, compare=False)


Expr = Number | Ref | Unary | Binary | MatVec


@dataclass(frozen=True, slots=True)
class Weight:
    """A matrix parameter ``[rows, cols]`` with its sparsity pattern."""

    name: str
    rows: Space
    cols: Space
    pattern: Pattern
    span: Span = field(default=NO_SPAN, compare=False)


@dataclass(frozen=True, slots=True)
class Vector:
    """A named vector: an input, a state, or a vector parameter (bias, peephole)."""

    name: str
    space: Space
    span: Span = field(default=NO_SPAN, compare=False)


@dataclass(frozen=True, slots=True)
class Equation:
    """``target = value``. ``target`` is a local name, or ``h'`` for the next value of state ``h``."""

    target: str
    space: Space
    value: Expr
    span: Span = field(default=NO_SPAN, compare=False)


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell with concrete sizes. Every state has exactly one ``state'`` equation.

    Equations are in an order in which every name is defined before it is read.
    ``output`` is an expression without matrix products. A cell of several layers (``passes/fuse.py``) may run
    them as a wavefront: in iteration t a state is at step t - lag of the sequence, and stays as it is
    before its first step and after its last one. ``lags``: of each state; empty where all are 0.
    ``output_lag``: that of the output, the largest. ``remembered``: states that only keep what a layer gave
    for a later iteration; they hold nothing before the first.
    """

    name: str
    inputs: tuple[Vector, ...]
    states: tuple[Vector, ...]
    weights: tuple[Weight, ...]
    params: tuple[Vector, ...]
    equations: tuple[Equation, ...]
    output: Expr
    output_space: Space
    lags: tuple[int, ...] = ()
    output_lag: int = 0
    remembered: tuple[str, ...] = ()

    @property
    def kept_states(self) -> tuple[Vector, ...]:
        """Those that go on from one call to the next."""
        return tuple(s for s in self.states if s.name not in self.remembered)

    def lag(self, state: str) -> int:
        """By how many iterations the state called ``state`` is late."""
        return dict(zip((s.name for s in self.states), self.lags, strict=False)).get(state, 0)

    def weight(self, name: str) -> Weight:
        """The matrix parameter called ``name``; KeyError if there is none."""
        for w in self.weights:
            if w.name == name:
                return w
        raise KeyError(name)


@dataclass(frozen=True, slots=True)
class ScheduleEntry:
    """``name = value`` from the schedule block: the user overrides one decision of the compiler."""

    name: str
    value: str | int | float | bool
    span: Span = field(default=NO_SPAN, compare=False)


@dataclass(frozen=True, slots=True)
class Model:
    """A checked program: one layer for now (``cell``), its numerics, and the user's overrides."""

    name: str
    layer: str
    cell: Cell
    dtype: DType
    accumulate: DType
    schedule: tuple[ScheduleEntry, ...]


def children(expr: Expr) -> tuple[Expr, ...]:
    """Direct subexpressions, left to right."""
    match expr:
        case Number() | Ref():
            return ()
        case Unary(a=a):
            return (a,)
        case Binary(a=a, b=b):
            return (a, b)
        case MatVec(operand=x):
            return (x,)


def walk(expr: Expr) -> Iterator[Expr]:
    """Every node of ``expr``, operands before the node that uses them."""
    for child in children(expr):
        yield from walk(child)
    yield expr


def space_of(expr: Expr) -> Space | None:
    """The index space of ``expr``; None for a scalar."""
    match expr:
        case Number():
            return None
        case Ref(space=space):
            return space
        case Unary(a=a):
            return space_of(a)
        case Binary(a=a, b=b):
            return space_of(a) or space_of(b)
        case MatVec(rows=rows):
            return rows
