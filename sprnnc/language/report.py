"""Collects the diagnostics of one check, so that a user sees all of them at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from sprnnc import diagnostics
from sprnnc.diagnostics import NO_SPAN, CompileError, Diagnostic, Span
from sprnnc.language.codes import Code


@dataclass
class Report:
    """The diagnostics found so far."""

    diagnostics: list[Diagnostic] = field(default_factory=list)

    def add(self, code: Code, message: str, span: Span = NO_SPAN, label: str = "", help: str = "") -> None:
        self.diagnostics.append(Diagnostic(code, message, span, label, help))

    def raise_if_any(self, source: str, filename: str) -> None:
        """Raises CompileError with everything found, in the order of the source."""
        if self.diagnostics:
            unique = dict.fromkeys(self.diagnostics)  # a cell that several layers use is checked for each
            ordered = sorted(unique, key=lambda d: (d.span.line, d.span.column))
            raise CompileError(tuple(ordered), source, filename)


def near_match(word: str, known: Iterable[str], otherwise: str = "") -> str:
    """``did you mean 'x'?`` if one of ``known`` looks like ``word``, else ``otherwise``."""
    near = diagnostics.near_match(word, known)
    return f"did you mean '{near}'?" if near else otherwise


def listed(words: Iterable[str]) -> str:
    """``a, b, c``; ``(none)`` if there is none."""
    return ", ".join(words) or "(none)"
