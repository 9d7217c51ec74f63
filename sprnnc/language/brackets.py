"""Brackets in the token stream and in the text: inside ( ) and [ ] a newline does not end a statement."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from lark import Token

from sprnnc.diagnostics import Span

_CLOSER_OF = {"(": ")", "[": "]", "{": "}"}
_BRACKET_OR_COMMENT = re.compile(r"#[^\n]*|[()\[\]{}]")


class NewlineFilter:
    """Between lexer and parser: drops newline tokens while ( or [ is open. Keeps no state between parses."""

    always_accept = ("_NL",)  # lark: lex these even where the parser has no use for them

    def process(self, stream: Iterator[Token]) -> Iterator[Token]:
        closers: list[str] = []
        for token in stream:
            if token in ("(", "["):
                closers.append(_CLOSER_OF[token])
            elif closers and token == closers[-1]:
                closers.pop()
            if not (closers and token.type == "_NL"):
                yield token


@dataclass(frozen=True, slots=True)
class OpenBracket:
    """A bracket that has no partner yet."""

    text: str
    span: Span

    @property
    def closer(self) -> str:
        return _CLOSER_OF[self.text]


def innermost_open(text: str) -> OpenBracket | None:
    """The last bracket of ``text`` (a prefix of a program) that is still open."""
    stack: list[re.Match[str]] = []
    for match in _BRACKET_OR_COMMENT.finditer(text):
        bracket = match.group()
        if bracket in _CLOSER_OF:
            stack.append(match)
        elif stack and bracket == _CLOSER_OF[stack[-1].group()]:
            stack.pop()
    if not stack:
        return None
    offset = stack[-1].start()
    line = text.count("\n", 0, offset) + 1
    column = offset - text.rfind("\n", 0, offset)
    return OpenBracket(stack[-1].group(), Span(line, column, line, column + 1))
