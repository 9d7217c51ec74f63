"""Stage 1, text -> syntax tree. Decides nothing; stops at the first syntax error."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from lark import Lark, Token, Tree, UnexpectedCharacters, UnexpectedToken

from sprnnc.diagnostics import CompileError, Diagnostic, Span
from sprnnc.language.brackets import NewlineFilter
from sprnnc.language.codes import Code
from sprnnc.language.syntax import Program
from sprnnc.language.syntax_errors import explain
from sprnnc.language.tree import SyntaxBuilder, span_of

_DEEPEST_NESTING = 100  # every later stage recurses over expressions


def parse(text: str, filename: str = "") -> Program:
    """The syntax tree of ``text``; ``filename`` is used in messages only.

    Raises CompileError with one E1xx diagnostic if the text is not a program.
    """
    text = text.removeprefix("\ufeff")  # some editors begin a file with a byte-order mark
    try:
        tree = _parser().parse(text)
    except (UnexpectedCharacters, UnexpectedToken) as error:
        raise CompileError((explain(error, text),), text, filename) from None
    too_deep = _first_node_below(tree, _DEEPEST_NESTING)
    if too_deep is not None:
        raise CompileError((_too_deep(too_deep),), text, filename)
    return SyntaxBuilder().transform(tree)


@cache
def _parser() -> Lark:
    return Lark(
        files("sprnnc.grammar").joinpath("sprnn.lark").read_text(encoding="utf-8"),
        parser="lalr",
        lexer="contextual",
        postlex=NewlineFilter(),
        propagate_positions=True,
        maybe_placeholders=True,
    )


def _first_node_below(tree: Tree[Token], limit: int) -> Span | None:
    """Where the tree nests deeper than ``limit``; without recursion, for the tree may be very deep."""
    stack = [(tree, 0)]
    while stack:
        node, depth = stack.pop()
        if depth > limit:
            return span_of(node.meta)
        stack += [(child, depth + 1) for child in node.children if isinstance(child, Tree)]
    return None


def _too_deep(span: Span) -> Diagnostic:
    return Diagnostic(
        Code.TOO_DEEP,
        f"the expression nests more than {_DEEPEST_NESTING} levels deep",
        span,
        "too deep here",
        "compute a part of it in an equation of its own, and use that equation's name here",
    )
