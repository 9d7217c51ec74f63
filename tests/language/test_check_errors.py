"""Every kind of semantic error: its code, its place, what it says, and the fix it proposes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sprnnc.diagnostics import NO_SPAN, CompileError, Diagnostic
from sprnnc.language.check import check
from sprnnc.language.parse import parse

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.sprnn"))

CELL = """\
cell A(I, H) {
  input  x[I]
  state  h[H]
  weight W[H, I]
  weight U[H, H]  sparse(0.5)
  bias   b[H]
  h' = tanh(W @ x + U @ h + b)
  output h'
}
"""
MODEL = "model m {\n  layer main = A(I=6, H=8)\n}\n"


def errors(source: str, sizes: dict[str, int] | None = None) -> tuple[Diagnostic, ...]:
    with pytest.raises(CompileError) as caught:
        check(parse(source), source=source, filename="file.sprnn", sizes=sizes or {})
    return caught.value.diagnostics


def diagnostics_of(source: str) -> tuple[Diagnostic, ...]:
    """Empty for a good program."""
    try:
        check(parse(source), source=source)
    except CompileError as error:
        return error.diagnostics
    return ()


@dataclass(frozen=True)
class Case:
    """One edit of the good program and the single error it makes."""

    old: str
    new: str
    code: str
    place: str
    said: str
    """A part of message and label."""
    fix: str


EQUATION = "h' = tanh(W @ x + U @ h + b)"

CASES = {
    "undefined": Case("U @ h +", "U @ hh +", "E201", "7:25", "undefined name 'hh'", "did you mean 'h'?"),
    "undefined, no near match": Case("+ b)", "+ b + zeta)", "E201", "7:33", "'zeta'", "declare it as"),
    "next of an input": Case("+ b)", "+ b + W @ x')", "E201", "7:37", "x'", "did you mean 'x'?"),
    "undefined cell": Case("= A(I=6", "= B(I=6", "E201", "11:16", "undefined cell 'B'",
                           "cells of this file: A"),
    "duplicate": Case("bias   b[H]", "bias   b[H], b[H]", "E202", "6:16", "declared in line 6",
                      "choose another"),
    "size as vector": Case("bias   b[H]", "bias   b[H], H[H]", "E202", "6:16", "already a size",
                           "choose another"),
    "function as name": Case("bias   b[H]", "bias   b[H], exp[H]", "E202", "6:16", "a function",
                             "choose another"),
    "duplicate equation": Case(EQUATION, f"{EQUATION}\n  h' = h", "E202", "8:3", "in line 7",
                               "choose another"),
    "duplicate cell": Case("model m",
                           "cell A(H) {\ninput x[H]\nstate h[H]\nh' = h + x\noutput h'\n}\nmodel m",
                           "E202", "10:6", "a second cell 'A'", "rename"),
    "duplicate size": Case("H=8", "H=8, H=9", "E202", "11:28", "a second value for size 'H'", "rename"),
    "duplicate override": Case("model m", "schedule {\na = 1\na = 2\n}\nmodel m", "E202", "12:1", "'a'",
                               "rename"),
    "inner dimension": Case("U @ h", "U @ h + W @ h", "E203", "7:29", "W is [H, I], h is [H]",
                            "multiply by a vector [I] (known here: x), or declare W[H, H]"),
    "spaces differ": Case("W @ x +", "W @ x + x +", "E204", "7:13", "the left side is [H], x is [I]",
                          "by a weight [H, I]"),
    "state's space": Case(EQUATION, f"y = {EQUATION[5:]}\n  h' = x", "E204", "8:8", "expected [H], got [I]",
                          "a weight [H, I]"),
    "clamp's limit": Case("tanh(", "clamp(h, 0, x) + tanh(", "E204", "7:8", "h is [H], x is [I]", "weight"),
    "matrix elementwise": Case("+ b", "+ b * U", "E205", "7:33", "U is [H, H]", "U @ h"),
    "not a matrix": Case("+ b", "+ b @ h", "E206", "7:29", "not a weight matrix", "declared by 'weight"),
    "matrix on the right": Case("U @ h", "h @ U", "E206", "7:21", "not a weight matrix", "U @ h"),
    "no next state": Case("state  h[H]", "state  h[H], c[H]", "E207", "3:16", "state 'c' has no next",
                          "add an equation: c' = ..."),
    "next read early": Case("+ b)", "+ b + h')", "E208", "7:33", "defined in line 7", "read 'h' for"),
    "local read early": Case(EQUATION, "h' = tanh(y)\n  y = W @ x + U @ h + b", "E208", "7:13",
                             "'y' is read before", "move the one of 'y' above"),
    "assigned input": Case(EQUATION, f"x = h\n  {EQUATION}", "E209", "7:3", "x is an input", "another name"),
    "assigned parameter": Case(EQUATION, f"b = h\n  {EQUATION}", "E209", "7:3", "a vector parameter",
                               "another name"),
    "assigned weight": Case(EQUATION, f"W = h\n  {EQUATION}", "E209", "7:3", "a weight matrix",
                            "another name"),
    "assigned state": Case(EQUATION, f"h = h\n  {EQUATION}", "E209", "7:3", "h is a state", "write h' = ..."),
    "primed local": Case(EQUATION, f"{EQUATION}\n  q' = h", "E209", "8:3", "q is not declared",
                         "state q[...]"),
    "unused weight": Case("U @ h +", "h +", "E210", "5:10", "'U' is never used: missing use", "remove its"),
    "unused bias": Case("+ b)", ")", "E210", "6:10", "'b' is never used: missing use",
                        "use it in an equation"),
    "unused input": Case("input  x[I]", "input  x[I], z[I]", "E210", "2:16", "'z'", "remove its"),
    "size zero": Case("H=8", "H=0", "E211", "11:25", "H = 0 is not possible", "number of units"),
    "size negative": Case("H=8", "H=-8", "E211", "11:25", "H = -8", "number of units"),
    "size not whole": Case("H=8", "H=8.0", "E211", "11:25", "a whole number", "number of units"),
    "unknown size": Case("b[H]", "b[K]", "E212", "6:12", "unknown size 'K'", "cell A(I, H, K)"),
    "size of no symbol": Case("H=8", "H=8, K=3", "E212", "11:28", "no size 'K'", "sizes of A: I, H"),
    "missing size": Case(", H=8", "", "E212", "11:3", "no value for size H", "A(I=.., H=..)"),
    "unknown pattern": Case("sparse(0.5)", "spars(0.5)", "E213", "5:19", "'spars'", "did you mean 'sparse'?"),
    "pattern arguments": Case("sparse(0.5)", "blocks(2, 2)", "E213", "5:19", "takes 3 numbers, got 2",
                              "write blocks(rows, columns, density)"),
    "pattern addition": Case("sparse(0.5)", "sparse(0.5) + diagnal", "E213", "5:33", "'diagnal'",
                             "did you mean 'diagonal'?"),
    "pattern of a vector": Case("bias   b[H]", "weight b[H] sparse(0.5)", "E213", "6:10", "the vector 'b'",
                                "without a pattern"),
    "pattern does not fit": Case("sparse(0.5)", "block_diagonal(3)", "E214", "5:19",
                                 "U[H=8, H=8] can be block_diagonal(3)", "that fit"),
    "density": Case("0.5", "10", "E215", "5:26", "from 0 to 1", "10 percent is 0.1"),
    "negative density": Case("0.5", "-0.5", "E215", "5:26", "density -0.5", "from 0 to 1"),
    "heads": Case("sparse(0.5)", "block_diagonal(0)", "E215", "5:34", "heads 0", "a whole number from 1"),
    "dtype": Case("}\n", "  dtype fp15\n}\n", "E216", "12:9", "unknown dtype 'fp15'", "did you mean 'fp1"),
    "accumulate fp16 in fp32": Case("}\n", "  accumulate fp16\n}\n", "E216", "12:14", "dtype is fp32",
                                    "accumulate fp32"),
    "accumulate bf16": Case("}\n", "  accumulate bf16\n}\n", "E216", "12:14", "fp32 or fp16",
                            "accumulate fp32"),
    "unknown function": Case("tanh", "tahn", "E217", "7:8", "'tahn'", "did you mean 'tanh'?"),
    "foreign function": Case("tanh", "swish", "E217", "7:8", "'swish'", "functions are sigmoid, tanh"),
    "argument count": Case("+ b)", "+ b, h)", "E218", "7:8", "takes 1 arguments, got 2", "write tanh(x)"),
    "clamp arguments": Case("tanh(", "clamp(", "E218", "7:8", "takes 3 arguments, got 1",
                            "clamp(x, low, high)"),
    "number times matrix": Case("U @ h", "U @ 2", "E219", "7:25", "expected a vector [H]", "scale a vector"),
    "size as number": Case("+ b", "+ b * H", "E219", "7:33", "'H' is not a value", "declare a 'const'"),
    "number equation": Case(EQUATION, f"y = 2 * 3\n  {EQUATION}", "E219", "7:7", "'y' is a number", "const"),
    "no output": Case("  output h'\n", "", "E220", "1:6", "no output", "output h'"),
    "two outputs": Case("output h'", "output h'\n  output h", "E220", "9:3", "a second output", "one output"),
    "product in output": Case("output h'", "output U @ h", "E220", "8:10", "a matrix product", "y = ..."),
    "no layer": Case("  layer main = A(I=6, H=8)\n", "", "E221", "10:7", "no layer", "layer main = Cell"),
    "several cells": Case(MODEL, "cell B(H) {\ninput x[H]\nstate h[H]\nh' = h + x\noutput h'\n}\n", "E221",
                          "10:6", "no model: A, B", "model m {"),
    "two layers": Case("H=8)", "H=8)\n  layer second = A(I=6, H=8)", "E227", "10:7", "how they are joined",
                       "input x[40], then 'on x'"),
    "two models": Case("model m", "model n { layer l = A(I=6, H=8) }\nmodel m", "E222", "11:7",
                       "a second model",
                       "one model a file"),
    "huge number": Case("+ b)", "+ 1e39)\n  y = b", "E223", "7:29", "too large", "3.403e+38"),
    "no input": Case(CELL, "cell A(I, H) {\n state h[H]\n h' = h\n output h\n}\n", "E224", "1:6",
                     "has no input",
                     "input x[I]"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_semantic_error(case: Case) -> None:
    good = CELL + MODEL
    assert case.old in good
    at = good.rindex(case.old)
    (diagnostic,) = errors(good[:at] + case.new + good[at + len(case.old) :])
    assert diagnostic.code == case.code
    assert f"{diagnostic.span.line}:{diagnostic.span.column}" == case.place
    assert case.said in f"{diagnostic.message}: {diagnostic.label}"
    assert case.fix in diagnostic.help


def test_every_code_is_tested() -> None:
    """Those of joined layers in test_check_network.py."""
    assert {c.code for c in CASES.values()} == {f"E{n}" for n in (*range(201, 225), 227)}


def test_all_errors_are_reported_at_once_in_the_order_of_the_source() -> None:
    source = CELL.replace("sparse(0.5)", "sparse(5)").replace("U @ h", "U @ x").replace("tanh", "tahn")
    found = errors(source + MODEL.replace("H=8", "H=0") + "schedule {\n a = 1\n a = 2\n}")
    assert [d.code for d in found] == ["E215", "E217", "E203", "E211", "E202"]


def test_an_error_does_not_cause_others_downstream() -> None:
    source = CELL.replace(EQUATION, "y = nonsense\n  z = y * x\n  h' = tanh(W @ x + U @ h + b) + y + z")
    assert [d.code for d in errors(source + MODEL)] == ["E201"]


def test_a_cell_that_no_layer_uses_is_checked_too() -> None:
    other = CELL.replace("cell A", "cell B").replace("+ b)", "+ beta)").replace("  bias   b[H]\n", "")
    (diagnostic,) = errors(other + CELL + MODEL)
    assert (diagnostic.code, diagnostic.span.line) == ("E201", 6)


def test_empty_program() -> None:
    (diagnostic,) = errors("# nothing\n")
    assert (diagnostic.code, diagnostic.span) == ("E221", NO_SPAN)
    assert "cell Name(I, H)" in diagnostic.help


@pytest.mark.parametrize(
    ("sizes", "code", "fix"),
    [
        ({"K": 3}, "E212", "sizes of A: I, H"),
        ({"h": 3}, "E212", "did you mean 'H'?"),
        ({"H": 0}, "E211", "whole number from 1"),
    ],
)
def test_bad_sizes_from_outside(sizes: dict[str, int], code: str, fix: str) -> None:
    (diagnostic,) = errors(CELL + MODEL, sizes)
    assert (diagnostic.code, diagnostic.span) == (code, NO_SPAN)
    assert fix in diagnostic.help


def test_missing_sizes_without_a_model_name_all_of_them() -> None:
    (diagnostic,) = errors(CELL, {"I": 3})
    assert diagnostic.code == "E212"
    assert "no value for size H of cell 'A'" in diagnostic.message
    assert "layer main = A(I=.., H=..)" in diagnostic.help


def test_rendered_like_a_compiler() -> None:
    source = CELL.replace("U @ h", "U @ x") + MODEL
    with pytest.raises(CompileError) as caught:
        check(parse(source), source=source, filename="a.sprnn")
    assert str(caught.value).splitlines() == [
        "a.sprnn:7:21: error[E203]: inner dimensions differ",
        "  7 |   h' = tanh(W @ x + U @ x + b)",
        "    |                     ^^^^^ U is [H, H], x is [I]",
        "help: multiply by a vector [H] (known here: h, b), or declare U[H, I]",
    ]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_check_raises_nothing_but_compile_errors(data: st.DataObject) -> None:
    """An example with a piece cut out or written twice is a good program or a diagnosed one."""
    text = data.draw(st.sampled_from(EXAMPLES)).read_text()
    first = data.draw(st.integers(0, len(text)))
    last = data.draw(st.integers(first, min(len(text), first + 40)))
    middle = data.draw(st.sampled_from(["", text[first:last] * 2, "h", "0"]))
    assert all(d.help for d in diagnostics_of(text[:first] + middle + text[last:]))
