"""Errors for users: a stable code, where, expected against got, what to do next.

Several diagnostics are collected and raised together as one ``CompileError``. An
``InternalError`` is the compiler's own fault and names the stage.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Span:
    """A range of the source, 1-based line and column, end column exclusive."""

    line: int
    column: int
    end_line: int
    end_column: int


NO_SPAN = Span(0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One error: ``code`` (E1xx syntax, E2xx names and types, E3xx weights, E4xx target and
    schedule, E5xx build, E6xx artifact and run), the message, and where known the span, a short
    ``label`` that stands under the caret, and a ``help`` line that says what to do."""

    code: str
    message: str
    span: Span = NO_SPAN
    label: str = ""
    help: str = ""

    def render(self, source: str = "", filename: str = "") -> str:
        """The diagnostic as text, with the source line and a caret where there is a span."""
        if self.span == NO_SPAN:
            where = f"{filename}: " if filename else ""
            lines = [f"{where}error[{self.code}]: {self.message}"]
        else:
            at = f"{filename or '<source>'}:{self.span.line}:{self.span.column}"
            lines = [f"{at}: error[{self.code}]: {self.message}"]
            lines += self._excerpt(source)
        if self.help:
            lines.append(f"help: {self.help}")
        return "\n".join(lines)

    def _excerpt(self, source: str) -> list[str]:
        rows = source.splitlines()
        if not 1 <= self.span.line <= len(rows):
            return []
        row = rows[self.span.line - 1]
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
        super().__init__("\n\n".join(d.render(source, filename) for d in diagnostics))


class InternalError(Exception):
    """A stage broke its own contract: a defect of the compiler, never of the user."""

    def __init__(self, stage: str, message: str) -> None:
        super().__init__(f"internal error in stage '{stage}': {message}; please report it with --dump-ir")
        self.stage = stage


def fail(code: str, message: str, *, span: Span = NO_SPAN, label: str = "", help: str = "") -> CompileError:
    """A CompileError with one diagnostic, to be raised by the caller."""
    return CompileError((Diagnostic(code, message, span, label, help),))
