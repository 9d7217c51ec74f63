"""Every kind of syntax error: its code, its place, what it says, and the fix it proposes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sprnnc.diagnostics import CompileError, Diagnostic
from sprnnc.language.parse import parse


def syntax_error(text: str) -> Diagnostic:
    with pytest.raises(CompileError) as caught:
        parse(text, "file.sprnn")
    (diagnostic,) = caught.value.diagnostics
    return diagnostic


def cell_with(line: str) -> str:
    return f"cell A(H) {{\n{line}\n}}\n"


CASES = {
    "power": (cell_with("y = h ^ 2"), "E101", "2:7", "'^' has no meaning", "x * x"),
    "semicolon": (cell_with("y = h;"), "E101", "2:6", "';' has no meaning", "its own line"),
    "primed declaration": (cell_with("state h'[H]"), "E101", "2:8", "no meaning", "the plain name"),
    "prime apart": (cell_with("c ' = h"), "E101", "2:3", "no meaning", "without a space"),
    "foreign letter": (cell_with("y = é"), "E101", "2:5", "'é' has no meaning", "the language has names"),
    "missing operator": (cell_with("y = a b"), "E102", "2:7", "expected an operator", "missing before 'b'"),
    "python power": (cell_with("y = a ** b"), "E102", "2:8", "an expression, found '*'", "x * x"),
    "indexed vector": (cell_with("y = h[2]"), "E102", "2:6", "found '['", "without an index"),
    "indexed target": (cell_with("y[H] = h"), "E102", "2:2", "expected '=', found '['", "y = ..."),
    "three sizes": (cell_with("weight U[H, H, H]"), "E102", "2:14", "expected ']'", "one size or two"),
    "bias matrix": (cell_with("bias b[H, H]"), "E102", "2:9", "expected ']'", "a matrix is a 'weight'"),
    "keyword target": (cell_with("state = h"), "E102", "2:7", "expected a name", "'state' is a keyword"),
    "number as size": ("cell A(3) { }", "E102", "1:8", "expected a name or ')'", "examples"),
    "two equals": (cell_with("x = y = h"), "E102", "2:7", "found '='", "once in a statement"),
    "stray bracket": (cell_with("y = h)"), "E102", "2:6", "found ')'", "closes nothing"),
    "no block": ("cell A(H)", "E102", "1:10", "expected '{' or the end", "examples"),
    "unclosed call": (cell_with("y = tanh(h\nz = y"), "E103", "2:9", "'(' is never closed", "write ')'"),
    "unclosed sizes": ("cell A(H {\n}", "E103", "1:7", "'(' is never closed", "write ')'"),
    "unclosed block": ("cell A(H) {\n  state h[H]\n", "E103", "1:11", "'{' is never closed", "write '}'"),
    "cut expression": (cell_with("y = a +\n  b"), "E104", "2:8", "not complete", "in parentheses"),
    "cut list": (cell_with("state h[H],\n c[H]"), "E104", "2:12", "not complete", "repeat the keyword"),
    "misspelt keyword": (cell_with("  wieght U[H, H]"), "E105", "2:3", "'wieght'", "did you mean 'weight'?"),
    "misspelt block": ("cel A(H) {\n}", "E105", "1:1", "'cel'", "did you mean 'cell'?"),
    "misspelt in model": ("model m {\n  dtyp fp16\n}", "E105", "2:3", "'dtyp'", "did you mean 'dtype'?"),
    "layer in a cell": (cell_with("layer l = A(H=1)"), "E105", "2:1", "'layer'", "inside a 'model' block"),
    "state outside": ("state h[H]", "E105", "1:1", "'state'", "inside a 'cell' block"),
    "model in a cell": (cell_with("model m {"), "E105", "2:1", "'model'", "close this one with '}'"),
    "too deep": (cell_with("y = " + "-" * 150 + "h"), "E106", "2:103", "100 levels", "equation of its own"),
    "too long": (cell_with("y = h" + " + h" * 501), "E106", "2:21", "500 terms", "equation of its own"),
}


@pytest.mark.parametrize(("text", "code", "place", "message", "fix"), CASES.values(), ids=CASES.keys())
def test_syntax_error(text: str, code: str, place: str, message: str, fix: str) -> None:
    diagnostic = syntax_error(text)
    assert diagnostic.code == code
    assert f"{diagnostic.span.line}:{diagnostic.span.column}" == place
    assert message in diagnostic.message
    assert fix in diagnostic.help


@pytest.mark.parametrize("mark", ["\f", "\x1c", "\u2028", "\x85"])
def test_only_a_newline_ends_a_quoted_line(mark: str) -> None:
    with pytest.raises(CompileError) as caught:
        parse(f"cell A(H) {{  # a{mark}b\n  wieght U[H, H]\n}}")
    assert "  2 |   wieght U[H, H]" in str(caught.value)


def test_message_shows_the_line_and_a_caret() -> None:
    with pytest.raises(CompileError) as caught:
        parse("cell A(H) {\n  wieght U[H, H]\n}", "file.sprnn")
    assert str(caught.value).splitlines() == [
        "file.sprnn:2:3: error[E105]: no statement begins with 'wieght' here",
        "  2 |   wieght U[H, H]",
        "    |   ^^^^^^ expected 'input', 'state', 'weight', 'bias', 'const', 'output' or an equation",
        "help: did you mean 'weight'?",
    ]


def test_messages_name_no_terminals() -> None:
    for text, *_ in CASES.values():
        diagnostic = syntax_error(text)
        said = diagnostic.message + diagnostic.label + diagnostic.help
        assert not any(name in said for name in ("NAME", "NEXT", "LPAR", "RBRACE", "_NL", "$END", "EQUAL"))


_PIECES = st.sampled_from(
    ["cell", "model", "state", "weight", "h", "h'", "H", "(", ")", "[", "]", "{", "}", "=", "+", "-", "@",
     ",", "\n", " ", "#", "1.5", "1e9", "sparse", "\r\n", "\t", "'"]
)  # fmt: skip


def diagnostics_of(text: str) -> tuple[Diagnostic, ...]:
    """Empty for a good program."""
    try:
        parse(text)
    except CompileError as error:
        return error.diagnostics
    return ()


@given(st.one_of(st.text(max_size=60), st.lists(_PIECES, max_size=25).map(" ".join)))
def test_parse_raises_nothing_but_compile_errors(text: str) -> None:
    assert all(d.code.startswith("E1") and d.help for d in diagnostics_of(text))


SEVERAL = """cell C(H) {
  input x[H]
  state h[H
  weight U[H, H]
  h' = tanh(U @ h + x)
  output h'
}
"""


def errors_of(text: str) -> list[tuple[int, str]]:
    with pytest.raises(CompileError) as caught:
        parse(text)
    return [(d.span.line, d.code) for d in caught.value.diagnostics]


def test_every_line_at_fault_is_reported() -> None:
    text = SEVERAL.replace("h[H\n", "h[H] !\n").replace("tanh(U @ h + x)", "tanh(U @ h + x) +")
    assert [line for line, _ in errors_of(text)] == [3, 5]


def test_a_line_that_opens_something_ends_the_search() -> None:
    assert len(errors_of(SEVERAL.replace("+ x)", "+ x) +"))) == 1


def test_what_follows_from_a_line_left_out_is_not_reported() -> None:
    only = "cell C(H) {\n  1 = 2\n}\n"
    assert [line for line, _ in errors_of(only)] == [2]


def test_at_most_ten_errors_are_listed() -> None:
    lines = "\n".join(f"  a{i} = = 1" for i in range(30))
    assert len(errors_of("cell C(H) {\n  input x[H]\n" + lines + "\n  output x\n}\n")) == 10
