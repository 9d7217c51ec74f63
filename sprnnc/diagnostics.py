"""Errors for users: a stable code, where, expected against got, what to do next.

Several diagnostics are collected and raised together as one ``CompileError``. An
``InternalError`` is the compiler's own fault and names the stage.
"""

from __future__ import annotations

import difflib
import operator
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import SupportsIndex


@dataclass(frozen=True, slots=True)
class Span:
    """A range of the source, 1-based line and column, end column exclusive."""

    line: int
    column: int
    end_line: int
    end_column: int


_MOST_OF_A_KIND = 20
_MOST_CHARACTERS = 80
NO_SPAN = Span(0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One error: ``code`` (E1xx syntax, E2xx names and types, E3xx weights, E4xx target and
    schedule, E5xx build, E6xx artifact and run, E7xx import and pruning), the message, and where known
    the span, a short ``label`` that stands under the caret, and a ``help`` line that says what to do."""

    code: str
    message: str
    span: Span = NO_SPAN
    label: str = ""
    help: str = ""

    def render(self, source: str = "", filename: str = "") -> str:
        """The diagnostic as text, with the source line and a caret where there is a span."""
        if self.span == NO_SPAN:
            where = f"{filename}: " if filename else ""
            lines = [printable(f"{where}error[{self.code}]: {self.message}")]
        else:
            at = f"{filename or '<source>'}:{self.span.line}:{self.span.column}"
            lines = [printable(f"{at}: error[{self.code}]: {self.message}")]
            lines += self._excerpt(source)
        if self.help:
            lines.append(printable(f"help: {self.help}"))
        return "\n".join(lines)

    def _excerpt(self, source: str) -> list[str]:
        rows = source.split("\n")  # as lines are counted: a form feed ends none
        if not 1 <= self.span.line <= len(rows):
            return []
        row = "".join(map(_one_column, rows[self.span.line - 1].rstrip("\r")))
        same_line = self.span.end_line == self.span.line
        end = self.span.end_column if same_line else len(row) + 1
        margin = f"{self.span.line:>3} | "
        pad = "".join("\t" if c == "\t" else " " for c in row[: self.span.column - 1])
        carets = "^" * max(1, end - self.span.column)
        return [margin + row, " " * (len(margin) - 2) + "| " + pad + f"{carets} {self.label}".rstrip()]


class CompileError(Exception):
    """The user's program, weights or options are wrong; carries every diagnostic found."""

    def __init__(self, diagnostics: tuple[Diagnostic, ...], source: str = "", filename: str = "") -> None:
        self.diagnostics = diagnostics
        self.source = source
        self.filename = filename
        super().__init__("\n\n".join(_rendered(diagnostics, source, filename)))


def _rendered(diagnostics: tuple[Diagnostic, ...], source: str, filename: str) -> list[str]:
    """At most 20 of each code as text, then how many there are besides."""
    seen: Counter[str] = Counter()
    texts = []
    for d in diagnostics:
        seen[d.code] += 1
        if seen[d.code] <= _MOST_OF_A_KIND:
            texts.append(d.render(source, filename))
    more = {code: count - _MOST_OF_A_KIND for code, count in seen.items() if count > _MOST_OF_A_KIND}
    return [*texts, *(f"... and {count} more error[{code}]" for code, count in more.items())]


class InternalError(Exception):
    """A stage broke its own contract: a defect of the compiler, never of the user."""

    def __init__(self, stage: str, message: str) -> None:
        super().__init__(f"internal error in stage '{stage}': {message}; please report it with --dump-ir")
        self.stage = stage


def fail(code: str, message: str, *, span: Span = NO_SPAN, label: str = "", help: str = "") -> CompileError:
    """A CompileError with one diagnostic, to be raised by the caller."""
    return CompileError((Diagnostic(code, message, span, label, help),))


def near_match(word: str, known: Iterable[str]) -> str:
    """The one of ``known`` that looks most like ``word``; empty if none does.

    Case counts only between names that differ in nothing else.
    """
    word = word[:_MOST_CHARACTERS]
    of_lower: dict[str, list[str]] = {}
    for name in known:
        if len(name) <= _MOST_CHARACTERS:
            of_lower.setdefault(name.lower(), []).append(name)
    near = difflib.get_close_matches(word.lower(), of_lower, n=1)
    return difflib.get_close_matches(word, of_lower[near[0]], n=1, cutoff=0)[0] if near else ""


def shown(name: str) -> str:
    """A name from a file as one short piece of a line: a control character would reach the terminal."""
    cut = name if len(name) <= _MOST_CHARACTERS else f"{name[:_MOST_CHARACTERS]}..."
    return printable(cut)


def printable(text: str) -> str:
    """``text`` in one line with control characters escaped, wherever they came from."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _one_column(character: str) -> str:
    """The same for quoted source, where columns count: the caret below must stay in its place."""
    return character if character.isprintable() or character == "\t" else "\ufffd"


def whole_number(value: object) -> int | None:
    """``value`` where it is an integer, NumPy's included; None for anything else, truth values too."""
    if isinstance(value, SupportsIndex) and not isinstance(value, bool):
        try:
            return operator.index(value)
        except TypeError:  # an array that is no scalar
            return None
    return None
