"""Rewrites the patterns of a .sprnn file, and leaves everything else in it as it is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import groupby

from sprnnc.cell.ir import Model
from sprnnc.diagnostics import CompileError, InternalError, Span, fail, shown
from sprnnc.language import syntax
from sprnnc.language.check import check_program
from sprnnc.language.parse import parse
from sprnnc.language.pattern_uses import resolve_pattern
from sprnnc.language.report import Report
from sprnnc.sparsity.patterns import Pattern


def pattern_from_text(text: str) -> Pattern:
    """A pattern as the language writes it: ``blocks(4, 4, 0.1) + diagonal``. Raises CompileError E710."""
    if re.search(r"[\n\r{}#]", text) or not text.strip():
        raise fail("E710", "a pattern is one line, such as sparse(0.1)")
    try:
        program = parse(f"cell C(A) {{\n  weight W[A, A] {text}\n}}\n")
        weight = program.cells[0].statements[0]
        report = Report()
        pattern = resolve_pattern(getattr(weight, "pattern", None), report)
        report.raise_if_any("", "")
    except CompileError as error:
        first = error.diagnostics[0]
        help = first.help or "such as sparse(0.1), blocks(4, 4, 0.1) or n_of_m(2, 4) + diagonal"
        raise fail("E710", f"'{shown(text)}' is no pattern: {first.message}", help=help) from error
    assert pattern is not None, "no pattern and no diagnostic"
    return pattern


def declare(text: str, cell: str, patterns: Mapping[str, Pattern]) -> str:
    """``text`` with each weight of ``patterns`` declared so in the cell called ``cell``.

    ``weight U[H, H], V[H, H]  sparse(0.5)`` becomes a line for each pattern, neighbours together; comments,
    sizes and equations stay as they are.
    """
    program = parse(text)
    declared = next(c for c in program.cells if c.name.text == cell)
    weights = [s for s in declared.statements if isinstance(s, syntax.WeightDecl)]
    for statement in reversed(list(_statements(text, weights))):  # from behind: earlier places stay right
        if any(w.name.text in patterns for w in statement):
            text = _rewritten(text, statement, patterns)
    found = _declared(text, cell)
    wrong = [name for name, pattern in patterns.items() if found[name] != pattern]
    if wrong:
        raise InternalError("prune", f"the rewritten text does not declare {', '.join(wrong)} as pruned")
    return text


def _declared(text: str, cell: str) -> dict[str, Pattern]:
    checked = check_program(parse(text))
    cells = [checked.cell] if isinstance(checked, Model) else [layer.cell for layer in checked.layers]
    return {w.name: w.pattern for c in cells if c.name == cell for w in c.weights}


def _statements(text: str, weights: list[syntax.WeightDecl]) -> Iterator[list[syntax.WeightDecl]]:
    """Declarations that share a ``weight``: nothing but a comma stands between them."""
    statement: list[syntax.WeightDecl] = []
    for weight in weights:
        if statement:
            between = text[offsets(text, statement[-1].span)[1] : offsets(text, weight.span)[0]]
            if between.strip() != ",":
                yield statement
                statement = []
        statement.append(weight)
    if statement:
        yield statement


def _rewritten(text: str, statement: list[syntax.WeightDecl], patterns: Mapping[str, Pattern]) -> str:
    last = statement[-1]
    begin = text.rindex("weight", 0, offsets(text, statement[0].span)[0])
    end = offsets(text, last.pattern.span if last.pattern else last.span)[1]
    old = text[slice(*offsets(text, last.pattern.span))] if last.pattern else ""

    def pattern_of(weight: syntax.WeightDecl) -> str:
        new = patterns.get(weight.name.text)
        return new.describe() if new else old

    lines = []
    for pattern, group in groupby(statement, pattern_of):
        listed = ", ".join(text[slice(*offsets(text, w.span))] for w in group)
        lines.append(f"weight {listed}  {pattern}".rstrip())
    line = text[text.rfind("\n", 0, begin) + 1 : begin]
    indent = line[: len(line) - len(line.lstrip())]
    return text[:begin] + f"\n{indent}".join(lines) + text[end:]


def offsets(text: str, span: Span) -> tuple[int, int]:
    """Where a span begins and ends in ``text``."""
    starts = [0, *(m.end() for m in re.finditer("\n", text))]
    return starts[span.line - 1] + span.column - 1, starts[span.end_line - 1] + span.end_column - 1
