"""Prints expressions of the Cell IR as C, with as few parentheses as the language allows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sprnnc.cell.ir import Binary, BinaryOp, Expr, MatVec, Number, Ref, Unary, UnaryOp
from sprnnc.diagnostics import InternalError

_INFIX = {BinaryOp.ADD: 1, BinaryOp.SUB: 1, BinaryOp.MUL: 2, BinaryOp.DIV: 2}
_CALLS = {
    UnaryOp.SIGMOID: "sigmoid",
    UnaryOp.TANH: "hyperbolic_tangent",
    UnaryOp.RELU: "relu",
    UnaryOp.EXP: "exponential",
    UnaryOp.LOG: "logf",
    UnaryOp.ABS: "fabsf",
    UnaryOp.SOFTPLUS: "softplus",
    BinaryOp.MIN: "minimum",
    BinaryOp.MAX: "maximum",
}
_ATOM = 4


def c_expression(value: Expr, name_of: Callable[[str], str]) -> str:
    """``value`` as a C expression; ``name_of`` gives the C spelling of each name."""
    return _print(value, name_of)[0]


def c_number(value: float) -> str:
    """A float literal that is exactly the nearest fp32 value."""
    if np.isnan(value):
        return "__uint_as_float(0x7FC00000u)"
    if np.isinf(np.float32(value)):
        return f"__uint_as_float({'0x7F800000u' if value > 0 else '0xFF800000u'})"
    text = repr(float(np.float32(value))) if float(np.float32(value)) != value else repr(float(value))
    return f"{text}f"


def offset(start: int) -> str:
    """``start + `` as the head of an index, nothing for zero."""
    return f"{start} + " if start else ""


def _print(value: Expr, name_of: Callable[[str], str]) -> tuple[str, int]:
    """The text and its precedence."""
    match value:
        case Number(value=number):
            return c_number(number), _ATOM if number >= 0 else 3
        case Ref(name=name):
            return name_of(name), _ATOM
        case Unary(op=UnaryOp.NEG, a=a):
            return f"-{_wrap(_print(a, name_of), _ATOM)}", 3
        case Unary(op=op, a=a):
            return f"{_CALLS[op]}({_print(a, name_of)[0]})", _ATOM
        case Binary(op=op, a=a, b=b) if op in _INFIX:
            rank = _INFIX[op]
            left, right = _wrap(_print(a, name_of), rank), _wrap(_print(b, name_of), rank + 1)
            return f"{left} {op.value} {right}", rank  # a + (b + c) keeps its parentheses
        case Binary(op=op, a=a, b=b):
            return f"{_CALLS[op]}({_print(a, name_of)[0]}, {_print(b, name_of)[0]})", _ATOM
        case MatVec(weight=weight):
            raise InternalError("render", f"a product with {weight} reached an expression")


def _wrap(printed: tuple[str, int], least: int) -> str:
    text, precedence = printed
    return text if precedence >= least else f"({text})"
