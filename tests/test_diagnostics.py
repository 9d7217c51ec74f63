"""How errors are printed: safely, in their place, and not too many of them."""

from __future__ import annotations

from sprnnc.diagnostics import CompileError, Diagnostic, Span, near_match


def test_control_characters_are_printed_escaped() -> None:
    text = Diagnostic("E304", "unexpected tensor 'a\x1b[2J\nb\u202e'", help="it holds \x07").render()
    assert text == "error[E304]: unexpected tensor 'a\\x1b[2J\\nb\\u202e'\nhelp: it holds \\x07"


def test_source_is_quoted_by_the_lines_that_the_parser_counts() -> None:
    source = "# a\u2028b\x0cc\nx = \x1by\r\n"
    text = Diagnostic("E201", "undefined", Span(2, 6, 2, 7)).render(source)
    assert text.splitlines()[1:] == ["  2 | x = \ufffdy", "    |      ^"]


def test_of_many_errors_of_one_kind_twenty_are_listed() -> None:
    many = tuple(Diagnostic("E304", f"unexpected {i}") for i in range(25))
    error = CompileError((*many, Diagnostic("E303", "missing")))
    assert len(error.diagnostics) == 26
    text = str(error)
    assert text.count("error[E304]: unexpected") == 20
    assert "error[E303]: missing" in text
    assert text.endswith("... and 5 more error[E304]")


def test_case_counts_only_between_names_that_differ_in_nothing_else() -> None:
    assert near_match("WI", ["wi", "other"]) == "wi"
    assert near_match("Wff", ["wf", "Wf"]) == near_match("Wff", ["Wf", "wf"]) == "Wf"
    assert near_match("zzz", ["wi"]) == ""
