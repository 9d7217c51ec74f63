"""Stage 1, text -> syntax tree. Decides nothing; reports every line that cannot be read."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from lark import Lark, Token, Tree, UnexpectedCharacters, UnexpectedToken

from sprnnc.diagnostics import CompileError, Diagnostic
from sprnnc.language.brackets import NewlineFilter
from sprnnc.language.codes import Code
from sprnnc.language.syntax import Program
from sprnnc.language.syntax_errors import explain
from sprnnc.language.tree import SyntaxBuilder, span_of
from sprnnc.recursion import room_for_deep_expressions

_MOST_ERRORS = 10
_DEEPEST_NESTING = 100  # of parentheses, functions and operators of other precedence
_LONGEST_CHAIN = 500  # of terms or factors: every later stage recurses over expressions
_CHAINS = ({"add", "subtract"}, {"multiply", "divide"})


def parse(text: str, filename: str = "") -> Program:
    """The syntax tree of ``text``; ``filename`` is used in messages only.

    Raises CompileError with E1xx diagnostics, one for each line at fault, if the text is not a program.
    """
    text = text.removeprefix("\ufeff")  # some editors begin a file with a byte-order mark
    tree, errors = _read(text)
    if errors or tree is None:
        raise CompileError(tuple(errors), text, filename)
    too_deep = _too_deep(tree)
    if too_deep is not None:
        raise CompileError((too_deep,), text, filename)
    with room_for_deep_expressions():
        return SyntaxBuilder().transform(tree)


def _read(text: str) -> tuple[Tree[Token] | None, list[Diagnostic]]:
    """The tree, or what is wrong: a line at fault is left out and the rest read again.

    A line that opens or closes something decides how the others read, so nothing is sought after one; and
    what only follows from lines left out is not reported.
    """
    errors: list[Diagnostic] = []
    lines, last = text.split("\n"), 0
    while True:
        try:
            return _parser().parse("\n".join(lines)), errors
        except (UnexpectedCharacters, UnexpectedToken) as error:
            found = explain(error, "\n".join(lines))
        line = found.span.line
        alone = 1 <= line <= len(lines) and _stands_alone(lines[line - 1])
        if errors and not (alone and line > last):
            return None, errors
        if not errors or not _continues(errors[-1], line):
            errors.append(found)
        if not alone or len(errors) == _MOST_ERRORS:
            return None, errors
        lines[line - 1], last = "", line


def _continues(error: Diagnostic, line: int) -> bool:
    """Whether ``line`` is the rest of a statement that ``error`` found cut off."""
    return error.code == Code.STATEMENT_CUT and line == error.span.line + 1


def _stands_alone(line: str) -> bool:
    code = line.split("#")[0]
    balanced = all(code.count(a) == code.count(b) for a, b in ("()", "[]"))
    return balanced and not set(code) & set("{}")


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


def _too_deep(tree: Tree[Token]) -> Diagnostic | None:
    """The first expression that is too deep; found without recursion, for the tree may be very deep."""
    stack = [(tree, 0, 0)]
    while stack:
        node, nested, depth = stack.pop()
        if nested > _DEEPEST_NESTING:
            return _refusal(node, f"nests more than {_DEEPEST_NESTING} levels deep")
        if depth > _LONGEST_CHAIN:
            return _refusal(node, f"has more than {_LONGEST_CHAIN} terms")
        for i, child in enumerate(node.children):
            if isinstance(child, Tree):
                goes_on = i == 0 and any(node.data in c and child.data in c for c in _CHAINS)
                stack.append((child, nested if goes_on else nested + 1, depth + 1))
    return None


def _refusal(node: Tree[Token], why: str) -> Diagnostic:
    return Diagnostic(
        Code.TOO_DEEP,
        f"the expression {why}",
        span_of(node.meta),
        "too deep here",
        "compute a part of it in an equation of its own, and use that equation's name here",
    )
