"""Rewrites the patterns of a .sprnn file, and leaves everything else in it as it is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import groupby

from sprnnc.diagnostics import InternalError, Span, fail
from sprnnc.language import syntax
from sprnnc.language.check import check
from sprnnc.language.parse import parse
from sprnnc.sparsity.patterns import Pattern

_ITEM = "weight W[A, A] "


def pattern_from_text(text: str) -> Pattern:
    """A pattern as the language writes it: ``blocks(4, 4, 0.1) + diagonal``. Raises CompileError E710."""
    if re.search(r"[\n\r{}#]", text):
        raise fail("E710", "a pattern is one line, such as sparse(0.1)")
    cell = f"cell C(A) {{\n  state h[A]\n  {_ITEM}{text}\n  h' = W @ h\n  output h'\n}}\n"
    try:  # a size that every number of a pattern divides, as only the pattern is wanted
        numbers = [int(n) for n in re.findall(r"\b[1-9][0-9]{0,3}\b(?!\.)", text)]
        size = 1000 * max(1, _product(numbers))
        program = parse(cell + f"model m {{ layer main = C(A={min(size, 10**9)}) }}\n")
        return check(program).cell.weights[0].pattern
    except Exception as error:
        diagnostics = getattr(error, "diagnostics", None)
        if not diagnostics:
            raise
        help = diagnostics[0].help or "such as sparse(0.1), blocks(4, 4, 0.1) or n_of_m(2, 4) + diagonal"
        raise fail("E710", f"'{text}' is no pattern: {diagnostics[0].message}", help=help) from error


def _product(numbers: list[int]) -> int:
    result = 1
    for n in numbers:
        result *= n
    return result


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
    found = {w.name: w.pattern for w in check(parse(text)).cell.weights}
    wrong = [name for name, pattern in patterns.items() if found[name] != pattern]
    if wrong:
        raise InternalError("prune", f"the rewritten text does not declare {', '.join(wrong)} as pruned")
    return text


def _statements(text: str, weights: list[syntax.WeightDecl]) -> Iterator[list[syntax.WeightDecl]]:
    """Declarations that share a ``weight``: nothing but a comma stands between them."""
    statement: list[syntax.WeightDecl] = []
    for weight in weights:
        if statement:
            between = text[_offsets(text, statement[-1].span)[1] : _offsets(text, weight.span)[0]]
            if between.strip() != ",":
                yield statement
                statement = []
        statement.append(weight)
    if statement:
        yield statement


def _rewritten(text: str, statement: list[syntax.WeightDecl], patterns: Mapping[str, Pattern]) -> str:
    last = statement[-1]
    begin = text.rindex("weight", 0, _offsets(text, statement[0].span)[0])
    end = _offsets(text, last.pattern.span if last.pattern else last.span)[1]
    old = text[slice(*_offsets(text, last.pattern.span))] if last.pattern else ""

    def pattern_of(weight: syntax.WeightDecl) -> str:
        new = patterns.get(weight.name.text)
        return new.describe() if new else old

    lines = []
    for pattern, group in groupby(statement, pattern_of):
        listed = ", ".join(text[slice(*_offsets(text, w.span))] for w in group)
        lines.append(f"weight {listed}  {pattern}".rstrip())
    line = text[text.rfind("\n", 0, begin) + 1 : begin]
    indent = line[: len(line) - len(line.lstrip())]
    return text[:begin] + f"\n{indent}".join(lines) + text[end:]


def _offsets(text: str, span: Span) -> tuple[int, int]:
    """Where a span begins and ends in ``text``."""
    starts = [0, *(m.end() for m in re.finditer("\n", text))]
    return starts[span.line - 1] + span.column - 1, starts[span.end_line - 1] + span.end_column - 1
