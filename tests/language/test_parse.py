"""What a text means to the parser."""

from __future__ import annotations

import pytest

from sprnnc.diagnostics import Span
from sprnnc.language import syntax as s
from sprnnc.language.parse import parse


def expression(text: str) -> s.Expression:
    (statement,) = parse(f"cell A(H) {{ y = {text} }}").cells[0].statements
    assert isinstance(statement, s.Equation)
    return statement.value


def ref(name: str) -> s.Reference:
    return s.Reference(name)


def infix(left: s.Expression, op: str, right: s.Expression) -> s.Infix:
    return s.Infix(s.InfixOp(op), left, right)


@pytest.mark.parametrize(
    ("text", "same_as"),
    [
        ("a + b * c", "a + (b * c)"),
        ("a - b - c", "(a - b) - c"),
        ("a / b * c", "(a / b) * c"),
        ("r * U @ h", "r * (U @ h)"),
        ("U @ r * h", "(U @ r) * h"),
        ("U @ V @ h", "U @ (V @ h)"),
        ("-a * b", "(-a) * b"),
        ("-U @ h", "-(U @ h)"),
        ("U @ -h", "U @ (-h)"),
        ("a - -b", "a - (-b)"),
    ],
)
def test_precedence(text: str, same_as: str) -> None:
    assert expression(text) == expression(same_as)


def test_infix_tree() -> None:
    assert expression("c' + U @ h") == infix(ref("c'"), "+", infix(ref("U"), "@", ref("h")))


@pytest.mark.parametrize(
    ("text", "value"), [("1", 1), ("1.", 1.0), (".5", 0.5), ("2e3", 2000.0), ("1.5E-2", 0.015)]
)
def test_numbers(text: str, value: float) -> None:
    literal = expression(text)
    assert literal == s.Literal(value)
    assert isinstance(literal, s.Literal)
    assert type(literal.value) is type(value)


def test_newlines_inside_brackets_do_not_end_a_statement() -> None:
    assert expression("max(a,\n   # a comment\n\n   (b +\n c))") == expression("max(a, (b + c))")


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_newlines_comments_and_blank_lines(newline: str) -> None:
    lines = [
        "",
        "# before",
        "cell A(H)",
        "{  # open",
        "",
        "  state h[H]  # a state",
        "# c",
        "  h' = h",
        "}",
        "",
        "# end",
    ]
    assert newline.join(lines).count("\n") == 10
    assert parse(newline.join(lines)) == parse("cell A(H) { state h[H]\nh' = h }")


def test_byte_order_mark_is_ignored() -> None:
    assert parse("\ufeffcell A(H) { }") == parse("cell A(H) { }")


def test_keywords_begin_statements_only() -> None:
    """A word that merely starts with a keyword is a name, and so is a keyword inside an expression."""
    assert expression("inputs + model") == infix(ref("inputs"), "+", ref("model"))


def test_weight_lists_share_their_pattern() -> None:
    (cell,) = parse("cell A(H) { weight U[H, H], V[H, H] blocks(4, 2, 0.5) + diagonal }").cells
    pattern = s.PatternUse(s.Name("blocks"), (s.Literal(4), s.Literal(2), s.Literal(0.5)), s.Name("diagonal"))
    assert cell.statements == tuple(
        s.WeightDecl(s.Name(n), s.Name("H"), s.Name("H"), pattern) for n in ("U", "V")
    )


def test_model_and_schedule() -> None:
    program = parse(
        "model m {\n layer a = A(I=3, H=4)\n layer b = B()\n dtype bf16\n}\n"
        "schedule {\n exchange = barrier\n blocks = 16\n limit = -1.5\n unroll = true\n}"
    )
    (model,) = program.models
    sizes = (s.SizeValue(s.Name("I"), s.Literal(3)), s.SizeValue(s.Name("H"), s.Literal(4)))
    assert model.statements == (
        s.LayerDecl(s.Name("a"), s.Name("A"), sizes),
        s.LayerDecl(s.Name("b"), s.Name("B"), ()),
        s.DTypeDecl(s.Name("bf16")),
    )
    values = {o.name.text: o.value for o in program.schedules[0].overrides}
    assert values == {"exchange": "barrier", "blocks": 16, "limit": -1.5, "unroll": True}


def test_spans_are_one_based_and_end_exclusive() -> None:
    (equation,) = parse("cell A(H) {\n  y = (a + b) * c\n}").cells[0].statements
    assert isinstance(equation, s.Equation)
    assert equation.target.span == Span(2, 3, 2, 4)
    assert equation.value.span == Span(2, 7, 2, 18)
