"""Typing of expressions: names to symbols, spaces of elementwise operands, inner dimensions of products."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from sprnnc.cell import ir
from sprnnc.diagnostics import Span
from sprnnc.language import syntax as s
from sprnnc.language.codes import Code
from sprnnc.language.report import Report, listed, near_match
from sprnnc.language.scope import FUNCTION_NAMES, Kind, Scope, Symbol

_UNARY = {op.value: op for op in ir.UnaryOp if op is not ir.UnaryOp.NEG}
_BINARY = {op.value: op for op in (ir.BinaryOp.MIN, ir.BinaryOp.MAX)}
_INFIX = {
    s.InfixOp.ADD: ir.BinaryOp.ADD,
    s.InfixOp.SUBTRACT: ir.BinaryOp.SUB,
    s.InfixOp.MULTIPLY: ir.BinaryOp.MUL,
    s.InfixOp.DIVIDE: ir.BinaryOp.DIV,
}
_CLAMP = "clamp"
_LARGEST_FLOAT32 = 3.4028234663852886e38


def finite_float32(literal: s.Literal, report: Report) -> float | None:
    """The value of ``literal``; None, reported, if a float32 cannot hold it."""
    if abs(literal.value) <= _LARGEST_FLOAT32:
        return float(literal.value)
    report.add(
        Code.NUMBER_RANGE,
        "the number is too large for a float32",
        literal.span,
        help=f"numbers of a cell are at most {_LARGEST_FLOAT32:.4g} in size",
    )
    return None


@dataclass(frozen=True, slots=True)
class ExpressionChecker:
    """Turns syntax into IR. A method returns None after it (or a part of it) has reported an error."""

    scope: Scope
    report: Report

    def check(self, e: s.Expression) -> ir.Expr | None:
        match e:
            case s.Literal():
                value = finite_float32(e, self.report)
                return None if value is None else ir.Number(value, span=e.span)
            case s.Reference():
                return self._reference(e)
            case s.Negate():
                a = self.check(e.operand)
                return None if a is None else ir.Unary(ir.UnaryOp.NEG, a, e.span)
            case s.Call():
                return self._call(e)
            case s.Infix(op=s.InfixOp.MATMUL):
                return self._product(e)
            case s.Infix():
                return self._elementwise(_INFIX[e.op], e.left, e.right, e.span)
            case _:
                assert_never(e)

    # ---- names

    def _reference(self, e: s.Reference) -> ir.Expr | None:
        symbol = self._lookup(e.name, e.span)
        if symbol is None:
            return None
        if symbol.kind is Kind.CONST:
            return ir.Number(symbol.value, symbol.name, e.span)
        if symbol.kind is Kind.WEIGHT:
            self._matrix_as_vector(symbol, e.span)
            return None
        if symbol.kind is Kind.SIZE:
            self.report.add(
                Code.NOT_A_VECTOR,
                f"the size '{e.name}' is not a value",
                e.span,
                help="declare a 'const' for a number that the equations use",
            )
            return None
        return None if symbol.space is None else ir.Ref(e.name, symbol.space, e.span)

    def _lookup(self, name: str, span: Span) -> Symbol | None:
        symbol = self.scope.symbols.get(name)
        if symbol is not None:
            self.scope.used.add(name)
        elif name in self.scope.to_come:
            self._read_before_defined(name, span)
        else:
            self._undefined(name, span)
        return symbol

    def _read_before_defined(self, name: str, span: Span) -> None:
        line = self.scope.to_come[name].line
        old = f", or read '{name[:-1]}' for the value of the step before" if name.endswith("'") else ""
        self.report.add(
            Code.READ_BEFORE_DEFINED,
            f"'{name}' is read before it is defined",
            span,
            f"defined in line {line}",
            f"equations run from top to bottom: move the one of '{name}' above this line{old}",
        )

    def _undefined(self, name: str, span: Span) -> None:
        known = [*self.scope.symbols, *self.scope.to_come]
        declared = "declare it as an input, state, weight, bias or const, or define it by an equation"
        if name.endswith("'") and name[:-1] in self.scope.symbols:
            declared = f"only a state has a next value, and '{name[:-1]}' is none"
        self.report.add(
            Code.UNDEFINED, f"undefined name '{name}'", span, help=near_match(name, known, declared)
        )

    def _matrix_as_vector(self, symbol: Symbol, span: Span) -> None:
        shape = f"[{_name(symbol.space)}, {_name(symbol.cols)}]"
        vectors = self.scope.vectors(symbol.cols) if symbol.cols else []
        example = vectors[0] if vectors else "vector"
        self.report.add(
            Code.MATRIX_ELEMENTWISE,
            f"the matrix '{symbol.name}' is used like a vector",
            span,
            f"{symbol.name} is {shape}",
            f"multiply it by a vector: {symbol.name} @ {example}",
        )

    # ---- matrix products

    def _product(self, e: s.Infix) -> ir.Expr | None:
        weight = self._matrix(e.left)
        if weight is None:
            self._no_matrix_on_the_left(e)
            return None
        self.scope.used.add(weight.name)
        operand = self.check(e.right)
        if operand is None or weight.space is None or weight.cols is None:
            return None
        space = ir.space_of(operand)
        if space is None:
            self.report.add(
                Code.NOT_A_VECTOR,
                "the right side of '@' is a number",
                e.right.span,
                f"expected a vector [{weight.cols.name}]",
                "scale a vector with '*'; '@' is the product of a matrix and a vector",
            )
            return None
        if space != weight.cols:
            self._inner_dimension(e, weight, space)
        return ir.MatVec(weight.name, weight.space, operand, e.span)

    def _matrix(self, e: s.Expression) -> Symbol | None:
        """The weight that ``e`` names, if it does."""
        symbol = self.scope.symbols.get(e.name) if isinstance(e, s.Reference) else None
        return symbol if symbol is not None and symbol.kind is Kind.WEIGHT else None

    def _no_matrix_on_the_left(self, e: s.Infix) -> None:
        swapped = self._matrix(e.right)
        left = self.check(e.left)
        if swapped is None:
            self.check(e.right)
        else:
            self.scope.used.add(swapped.name)
        if left is None:
            return  # already reported, an undefined name say
        self.report.add(
            Code.NOT_A_MATRIX,
            "the left side of '@' is not a weight matrix",
            e.left.span,
            "expected the name of a weight",
            "'*' is the elementwise product; a matrix is declared by 'weight U[H, H]'"
            if swapped is None
            else f"the matrix stands first: {swapped.name} @ {_title(e.left, '(...)')}",
        )

    def _inner_dimension(self, e: s.Infix, weight: Symbol, got: ir.Space) -> None:
        rows, cols = _name(weight.space), _name(weight.cols)
        fitting = listed(self.scope.vectors(weight.cols)) if weight.cols else ""
        self.report.add(
            Code.INNER_DIMENSION,
            "inner dimensions differ",
            e.span,
            f"{weight.name} is [{rows}, {cols}], {_title(e.right, 'the right side')} is [{got.name}]",
            f"multiply by a vector [{cols}] (known here: {fitting}),"
            f" or declare {weight.name}[{rows}, {got.name}]",
        )

    # ---- elementwise

    def _elementwise(
        self, op: ir.BinaryOp, left: s.Expression, right: s.Expression, span: Span
    ) -> ir.Expr | None:
        a, b = self.check(left), self.check(right)
        if a is None or b is None:
            return None
        a_space, b_space = ir.space_of(a), ir.space_of(b)
        if a_space is not None and b_space is not None and a_space != b_space:
            self._spaces_differ(op, (left, a_space), (right, b_space), span)
            return None
        return ir.Binary(op, a, b, span)

    def _spaces_differ(
        self,
        op: ir.BinaryOp,
        left: tuple[s.Expression, ir.Space],
        right: tuple[s.Expression, ir.Space],
        span: Span,
    ) -> None:
        (left_syntax, a), (right_syntax, b) = left, right
        label = f"{_title(left_syntax, 'the left side')} is [{a.name}], "
        label += f"{_title(right_syntax, 'the right side')} is [{b.name}]"
        self.report.add(
            Code.SPACES_DIFFER,
            f"'{op.value}' of vectors of different sizes",
            span,
            label,
            f"go from [{b.name}] to [{a.name}] by a weight [{a.name}, {b.name}];"
            " sizes agree by name, whatever their numbers",
        )

    # ---- functions

    def _call(self, e: s.Call) -> ir.Expr | None:
        name = e.function.text
        if name not in FUNCTION_NAMES:
            for argument in e.arguments:
                self.check(argument)
            functions = f"functions are {listed(FUNCTION_NAMES)}"
            self.report.add(
                Code.UNKNOWN_FUNCTION,
                f"unknown function '{name}'",
                e.function.span,
                help=near_match(name, FUNCTION_NAMES, functions),
            )
            return None
        if not self._argument_count(e):
            return None
        if name == _CLAMP:
            return self._clamp(e)
        if name in _BINARY:
            return self._elementwise(_BINARY[name], e.arguments[0], e.arguments[1], e.span)
        a = self.check(e.arguments[0])
        return None if a is None else ir.Unary(_UNARY[name], a, e.span)

    def _argument_count(self, e: s.Call) -> bool:
        name, got = e.function.text, len(e.arguments)
        parameters = ("x", "low", "high") if name == _CLAMP else ("x", "y") if name in _BINARY else ("x",)
        if got == len(parameters):
            return True
        for argument in e.arguments:
            self.check(argument)
        self.report.add(
            Code.ARGUMENT_COUNT,
            f"'{name}' takes {len(parameters)} arguments, got {got}",
            e.span,
            help=f"write {name}({', '.join(parameters)})",
        )
        return False

    def _clamp(self, e: s.Call) -> ir.Expr | None:
        """clamp(x, low, high) = min(max(x, low), high)."""
        x, low, high = e.arguments
        at_least_low = self._elementwise(ir.BinaryOp.MAX, x, low, e.span)
        limit = self.check(high)
        if at_least_low is None or limit is None:
            return None
        space, limit_space = ir.space_of(at_least_low), ir.space_of(limit)
        if space is not None and limit_space is not None and space != limit_space:
            self._spaces_differ(ir.BinaryOp.MIN, (x, space), (high, limit_space), e.span)
            return None
        return ir.Binary(ir.BinaryOp.MIN, at_least_low, limit, e.span)


def _title(e: s.Expression, otherwise: str) -> str:
    return e.name if isinstance(e, s.Reference) else otherwise


def _name(space: ir.Space | None) -> str:
    return space.name if space is not None else "?"
