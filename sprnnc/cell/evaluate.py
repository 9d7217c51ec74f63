"""Evaluates expressions of the Cell IR in NumPy, in whatever precision the environment has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sprnnc.cell.ir import Binary, BinaryOp, Expr, MatVec, Number, Ref, Unary, UnaryOp

Array = NDArray[np.floating[Any]]


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)) without overflow."""
    small = np.exp(-np.abs(x))
    result: Array = np.where(x >= 0, 1, small) / (1 + small)
    return result


def softplus(x: Array) -> Array:
    """log(1 + exp(x)) without overflow."""
    result: Array = np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))
    return result


_UNARY: dict[UnaryOp, Callable[[Any], Any]] = {
    UnaryOp.NEG: np.negative,
    UnaryOp.SIGMOID: sigmoid,
    UnaryOp.TANH: np.tanh,
    UnaryOp.RELU: lambda x: np.where(x < 0, np.zeros_like(x), x),
    UnaryOp.EXP: np.exp,
    UnaryOp.LOG: np.log,
    UnaryOp.ABS: np.abs,
    UnaryOp.SOFTPLUS: softplus,
}
_BINARY: dict[BinaryOp, Callable[[Any, Any], Any]] = {
    BinaryOp.ADD: np.add,
    BinaryOp.SUB: np.subtract,
    BinaryOp.MUL: np.multiply,
    BinaryOp.DIV: np.divide,
    BinaryOp.MIN: np.minimum,
    BinaryOp.MAX: np.maximum,
}


def evaluate(
    value: Expr,
    environment: Mapping[str, Any],
    product: Callable[[str, Any], Any] | None = None,
) -> Any:
    """The value of an expression; ``environment`` holds arrays [size, B] (or [size, 1]) by name.

    ``product(weight, operand)`` multiplies by a matrix; without it a MatVec is a KeyError. NaN and
    Inf flow through as IEEE 754 says, without warnings.
    """
    with np.errstate(all="ignore"):
        return _evaluate(value, environment, product)


def _evaluate(value: Expr, environment: Mapping[str, Any], product: Callable[[str, Any], Any] | None) -> Any:
    match value:
        case Number(value=number):
            return number
        case Ref(name=name):
            return environment[name]
        case Unary(op=op, a=a):
            return _UNARY[op](_evaluate(a, environment, product))
        case Binary(op=op, a=a, b=b):
            return _BINARY[op](_evaluate(a, environment, product), _evaluate(b, environment, product))
        case MatVec(weight=weight, operand=operand):
            if product is None:
                raise KeyError(weight)
            return product(weight, _evaluate(operand, environment, product))


def sparse_product(matrix: Array, operand: Array) -> Array:
    """matrix @ operand. An entry that is zero is absent: it does not make NaN out of another unit's Inf."""
    with np.errstate(all="ignore"):
        if np.isfinite(operand).all():
            return matrix @ operand
        rows, cols = np.nonzero(matrix)
        result = np.zeros((matrix.shape[0], operand.shape[1]), matrix.dtype)
        np.add.at(result, rows, matrix[rows, cols, None] * operand[cols])
        return result
