"""Syntax tree: the program as written, nothing resolved. Spans never count for equality."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from sprnnc.diagnostics import NO_SPAN, Span


class InfixOp(Enum):
    """Operators between two expressions; the value is the spelling."""

    ADD = "+"
    SUBTRACT = "-"
    MULTIPLY = "*"
    DIVIDE = "/"
    MATMUL = "@"


@dataclass(frozen=True, slots=True)
class Name:
    """An identifier where it stands."""

    text: str
    span: Span = field(default=NO_SPAN, compare=False)


# ---- expressions -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Literal:
    """A number; an ``int`` if written without point and exponent."""

    value: int | float
    span: Span = field(default=NO_SPAN, compare=False)


@dataclass(frozen=True, slots=True)
class Reference:
    """``c``, or ``c'`` for the next value of state ``c``; ``name`` includes the prime."""

    name: str
    span: Span = field(default=NO_SPAN, compare=False)


@dataclass(frozen=True, slots=True)
class Call:
    """``function(arguments...)``."""

    function: Name
    arguments: tuple[Expression, ...]
    span: Span = field(default=NO_SPAN, compare=False)


@dataclass(frozen=True, slots=True)
class Negate:
    """``-operand``."""

    operand: Expression
    span: Span = field(default=NO_SPAN, compare=False)


@dataclass(frozen=True, slots=True)
class Infix:
    """``left op right``."""

    op: InfixOp
    left: Expression
    right: Expression
    span: Span = field(default=NO_SPAN, compare=False)


Expression = Literal | Reference | Call | Negate | Infix


# ---- statements of a cell --------------------------------------------------------------------


class VectorKind(Enum):
    """What declares a vector; the value is the keyword."""

    INPUT = "input"
    STATE = "state"
    BIAS = "bias"


@dataclass(frozen=True, slots=True)
class VectorDecl:
    """``input x[I]``, ``state h[H]`` or ``bias b[H]``."""

    kind: VectorKind
    name: Name
    size: Name
    span: Span = field(default=NO_SPAN, compare=False)


@dataclass(frozen=True, slots=True)
class PatternUse:
    """``name(arguments...) + addition`` behind a list of weights."""

    name: Name
    arguments: tuple[Literal, ...]
    addition: Name | None
    span: Span = field(default=NO_SPAN, compare=False)


@dataclass(frozen=True, slots=True)
class WeightDecl:
    """``weight U[H, H] pattern``; with one size it is a vector parameter and ``cols`` is None."""

    name: Name
    rows: Name
    cols: Name | None
    pattern: PatternUse | None
    span: Span = field(default=NO_SPAN, compare=False)


@dataclass(frozen=True, slots=True)
class ConstDecl:
    """``const name = value``."""

    name: Name
    value: Literal
    span: Span = field(default=NO_SPAN, compare=False)


@dataclass(frozen=True, slots=True)
class Equation:
    """``target = value``; the target's name includes the prime of a next state."""

    target: Name
    value: Expression
    span: Span = field(default=NO_SPAN, compare=False)


@dataclass(frozen=True, slots=True)
class OutputDecl:
    """``output value``."""

    value: Expression
    span: Span = field(default=NO_SPAN, compare=False)


CellStatement = VectorDecl | WeightDecl | ConstDecl | Equation | OutputDecl


# ---- top level -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CellDecl:
    """``cell name(sizes...) { statements }``, in the order written."""

    name: Name
    sizes: tuple[Name, ...]
    statements: tuple[CellStatement, ...]
    span: Span = field(default=NO_SPAN, compare=False)


@dataclass(frozen=True, slots=True)
class SizeValue:
    """``H = 512`` in a layer."""

    name: Name
    value: Literal
    span: Span = field(default=NO_SPAN, compare=False)


@dataclass(frozen=True, slots=True)
class StreamUse:
    """``a``: what the layer called so gives, or the model's input."""

    name: Name
    span: Span = field(default=NO_SPAN, compare=False)


@dataclass(frozen=True, slots=True)
class StreamSum:
    """``a + b``."""

    terms: tuple[Joined, ...]
    span: Span = field(default=NO_SPAN, compare=False)


@dataclass(frozen=True, slots=True)
class StreamList:
    """``[a, b]``: side by side."""

    parts: tuple[Joined, ...]
    span: Span = field(default=NO_SPAN, compare=False)


Joined = StreamUse | StreamSum | StreamList


@dataclass(frozen=True, slots=True)
class LayerDecl:
    """``layer name = cell(sizes...) shares other reverse on reads``; all but the first part may be absent."""

    name: Name
    cell: Name
    sizes: tuple[SizeValue, ...]
    shares: Name | None = None
    reverse: bool = False
    reads: Joined | None = None
    span: Span = field(default=NO_SPAN, compare=False)


@dataclass(frozen=True, slots=True)
class ModelInputDecl:
    """``input name[size]`` of a model."""

    name: Name
    size: Literal
    span: Span = field(default=NO_SPAN, compare=False)


@dataclass(frozen=True, slots=True)
class EmbeddingDecl:
    """``embedding name[rows, size] on reads``."""

    name: Name
    rows: Literal
    size: Literal
    reads: Name
    span: Span = field(default=NO_SPAN, compare=False)


@dataclass(frozen=True, slots=True)
class ModelOutputDecl:
    """``output value`` of a model."""

    value: Joined
    span: Span = field(default=NO_SPAN, compare=False)


@dataclass(frozen=True, slots=True)
class DTypeDecl:
    """``dtype fp16``."""

    dtype: Name
    span: Span = field(default=NO_SPAN, compare=False)


@dataclass(frozen=True, slots=True)
class AccumulateDecl:
    """``accumulate fp32``."""

    dtype: Name
    span: Span = field(default=NO_SPAN, compare=False)


ModelStatement = ModelInputDecl | EmbeddingDecl | LayerDecl | ModelOutputDecl | DTypeDecl | AccumulateDecl


@dataclass(frozen=True, slots=True)
class ModelDecl:
    """``model name { statements }``."""

    name: Name
    statements: tuple[ModelStatement, ...]
    span: Span = field(default=NO_SPAN, compare=False)


@dataclass(frozen=True, slots=True)
class Override:
    """``name = value`` in a schedule block."""

    name: Name
    value: str | int | float | bool
    span: Span = field(default=NO_SPAN, compare=False)


@dataclass(frozen=True, slots=True)
class ScheduleDecl:
    """``schedule { overrides }``."""

    overrides: tuple[Override, ...]
    span: Span = field(default=NO_SPAN, compare=False)


@dataclass(frozen=True, slots=True)
class Program:
    """One file."""

    cells: tuple[CellDecl, ...]
    models: tuple[ModelDecl, ...]
    schedules: tuple[ScheduleDecl, ...]
