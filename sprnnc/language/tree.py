"""Parse tree -> syntax tree: one method a grammar rule, called with its children in order."""

from __future__ import annotations

from typing import Any

from lark import Token, Transformer, v_args
from lark.tree import Meta

from sprnnc.diagnostics import NO_SPAN, Span
from sprnnc.language import syntax as s


def span_of(meta: Meta) -> Span:
    """Where a parse-tree node stands; NO_SPAN for one without tokens."""
    if meta.empty:
        return NO_SPAN
    return Span(meta.line, meta.column, meta.end_line, meta.end_column)


_LONGEST_INT = 300  # longer digit strings are out of any range; Python itself refuses to read very long ones


def _int_or_float(text: str) -> int | float:
    is_int = not any(c in text for c in ".eE") and len(text) <= _LONGEST_INT
    return int(text) if is_int else float(text)


@v_args(meta=True)
class SyntaxBuilder(Transformer[Token, s.Program]):
    """Absent optional children arrive as None (lark's ``maybe_placeholders``)."""

    def start(self, meta: Meta, items: list[Any]) -> s.Program:
        return s.Program(
            cells=tuple(i for i in items if isinstance(i, s.CellDecl)),
            models=tuple(i for i in items if isinstance(i, s.ModelDecl)),
            schedules=tuple(i for i in items if isinstance(i, s.ScheduleDecl)),
        )

    # ---- cell

    def cell(self, meta: Meta, items: list[Any]) -> s.CellDecl:
        name, *rest = items
        sizes = tuple(i for i in rest if isinstance(i, s.Name))
        declared = [i for i in rest if isinstance(i, list)]
        return s.CellDecl(name, sizes, tuple(d for group in declared for d in group), span_of(meta))

    def input(self, meta: Meta, items: list[Any]) -> list[s.CellStatement]:
        return [s.VectorDecl(s.VectorKind.INPUT, name, size, span) for name, size, span in items]

    def state(self, meta: Meta, items: list[Any]) -> list[s.CellStatement]:
        return [s.VectorDecl(s.VectorKind.STATE, name, size, span) for name, size, span in items]

    def bias(self, meta: Meta, items: list[Any]) -> list[s.CellStatement]:
        return [s.VectorDecl(s.VectorKind.BIAS, name, size, span) for name, size, span in items]

    def weight(self, meta: Meta, items: list[Any]) -> list[s.CellStatement]:
        *matrices, pattern = items
        return [s.WeightDecl(name, rows, cols, pattern, span) for name, rows, cols, span in matrices]

    def const(self, meta: Meta, items: list[Any]) -> list[s.CellStatement]:
        return list(items)

    def output(self, meta: Meta, items: list[Any]) -> list[s.CellStatement]:
        return [s.OutputDecl(items[0], span_of(meta))]

    def equation(self, meta: Meta, items: list[Any]) -> list[s.CellStatement]:
        return [s.Equation(items[0], items[1], span_of(meta))]

    def vector(self, meta: Meta, items: list[Any]) -> tuple[s.Name, s.Name, Span]:
        name, size = items
        return name, size, span_of(meta)

    def matrix(self, meta: Meta, items: list[Any]) -> tuple[s.Name, s.Name, s.Name | None, Span]:
        name, rows, cols = items
        return name, rows, cols, span_of(meta)

    def constant(self, meta: Meta, items: list[Any]) -> s.ConstDecl:
        return s.ConstDecl(items[0], items[1], span_of(meta))

    def pattern(self, meta: Meta, items: list[Any]) -> s.PatternUse:
        name, arguments, addition = items
        return s.PatternUse(name, arguments or (), addition, span_of(meta))

    def pattern_arguments(self, meta: Meta, items: list[Any]) -> tuple[s.Literal, ...]:
        return tuple(i for i in items if i is not None)

    def pattern_addition(self, meta: Meta, items: list[Any]) -> s.Name:
        name: s.Name = items[0]
        return name

    def target(self, meta: Meta, items: list[Any]) -> s.Name:
        return s.Name(str(items[0]), span_of(meta))

    # ---- expressions

    def add(self, meta: Meta, items: list[Any]) -> s.Infix:
        return s.Infix(s.InfixOp.ADD, items[0], items[1], span_of(meta))

    def subtract(self, meta: Meta, items: list[Any]) -> s.Infix:
        return s.Infix(s.InfixOp.SUBTRACT, items[0], items[-1], span_of(meta))

    def multiply(self, meta: Meta, items: list[Any]) -> s.Infix:
        return s.Infix(s.InfixOp.MULTIPLY, items[0], items[1], span_of(meta))

    def divide(self, meta: Meta, items: list[Any]) -> s.Infix:
        return s.Infix(s.InfixOp.DIVIDE, items[0], items[1], span_of(meta))

    def matmul(self, meta: Meta, items: list[Any]) -> s.Infix:
        return s.Infix(s.InfixOp.MATMUL, items[0], items[1], span_of(meta))

    def negate(self, meta: Meta, items: list[Any]) -> s.Negate:
        return s.Negate(items[-1], span_of(meta))

    def reference(self, meta: Meta, items: list[Any]) -> s.Reference:
        return s.Reference(str(items[0]), span_of(meta))

    def call(self, meta: Meta, items: list[Any]) -> s.Call:
        function, *arguments = items
        return s.Call(function, tuple(a for a in arguments if a is not None), span_of(meta))

    # ---- model and schedule

    def model(self, meta: Meta, items: list[Any]) -> s.ModelDecl:
        name, *statements = items
        return s.ModelDecl(name, tuple(i for i in statements if i is not None), span_of(meta))

    def layer(self, meta: Meta, items: list[Any]) -> s.LayerDecl:
        name, cell, *sizes, shares, reverse, reads = items
        given = tuple(i for i in sizes if i is not None)
        return s.LayerDecl(name, cell, given, shares, reverse is not None, reads, span_of(meta))

    def model_input(self, meta: Meta, items: list[Any]) -> s.ModelInputDecl:
        return s.ModelInputDecl(items[0], items[1], span_of(meta))

    def embedding(self, meta: Meta, items: list[Any]) -> s.EmbeddingDecl:
        name, rows, size, reads = items
        return s.EmbeddingDecl(name, rows, size, reads, span_of(meta))

    def model_output(self, meta: Meta, items: list[Any]) -> s.ModelOutputDecl:
        return s.ModelOutputDecl(items[0], span_of(meta))

    def shares(self, meta: Meta, items: list[Any]) -> s.Name:
        name: s.Name = items[0]
        return name

    def reverse(self, meta: Meta, items: list[Any]) -> bool:
        return True

    def reads(self, meta: Meta, items: list[Any]) -> s.Joined:
        joined: s.Joined = items[0]
        return joined

    def stream(self, meta: Meta, items: list[Any]) -> s.StreamUse:
        return s.StreamUse(items[0], span_of(meta))

    def stream_sum(self, meta: Meta, items: list[Any]) -> s.StreamSum:
        return s.StreamSum(tuple(items), span_of(meta))

    def stream_list(self, meta: Meta, items: list[Any]) -> s.StreamList:
        return s.StreamList(tuple(items), span_of(meta))

    def size_value(self, meta: Meta, items: list[Any]) -> s.SizeValue:
        return s.SizeValue(items[0], items[1], span_of(meta))

    def dtype(self, meta: Meta, items: list[Any]) -> s.DTypeDecl:
        return s.DTypeDecl(items[0], span_of(meta))

    def accumulate(self, meta: Meta, items: list[Any]) -> s.AccumulateDecl:
        return s.AccumulateDecl(items[0], span_of(meta))

    def schedule(self, meta: Meta, items: list[Any]) -> s.ScheduleDecl:
        return s.ScheduleDecl(tuple(i for i in items if i is not None), span_of(meta))

    def override(self, meta: Meta, items: list[Any]) -> s.Override:
        name, value = items
        if isinstance(value, s.Literal):
            return s.Override(name, value.value, span_of(meta))
        word: str = value.text
        booleans = {"true": True, "false": False}
        return s.Override(name, booleans.get(word, word), span_of(meta))

    # ---- words

    def name(self, meta: Meta, items: list[Any]) -> s.Name:
        return s.Name(str(items[0]), span_of(meta))

    def number(self, meta: Meta, items: list[Any]) -> s.Literal:
        return s.Literal(_int_or_float(str(items[0])), span_of(meta))

    def signed_number(self, meta: Meta, items: list[Any]) -> s.Literal:
        return s.Literal(_int_or_float("".join(items)), span_of(meta))
