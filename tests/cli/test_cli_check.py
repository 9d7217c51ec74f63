"""``sprnnc check``."""

from __future__ import annotations

from pathlib import Path


def test_a_good_file_is_summarised(sprnnc):
    result = sprnnc("check", "tiny.sprnn")
    assert result.code == 0
    assert result.out == (
        "tiny.sprnn: ok: model tiny, cell Elman, fp32; input x[4]; state h[8]; "
        "weights W[8, 4], U[8, 8], b[8]\n"
    )
    assert result.err == ""


def test_size_and_dtype_go_before_what_the_file_says(sprnnc):
    out = sprnnc("check", "tiny.sprnn", "--size", "H=32", "--size", "I=5", "--dtype", "bf16").out
    assert "bf16; input x[5]; state h[32]" in out


def test_size_zero_is_refused(sprnnc):
    result = sprnnc("check", "tiny.sprnn", "--size", "H=0")
    assert result.code == 1
    assert "error[E211]: size H = 0" in result.err


def test_an_unknown_size_names_those_there_are(sprnnc):
    result = sprnnc("check", "tiny.sprnn", "--size", "Q=3")
    assert result.code == 1
    assert "sizes of Elman: I, H" in result.err


def test_a_syntax_error_shows_file_line_and_column(sprnnc):
    Path("bad.sprnn").write_text("cell A(H) {\n  state h[H]\n  h' = tanh(h + )\n}\n")
    result = sprnnc("check", "bad.sprnn")
    assert result.code == 1
    assert result.err.startswith("bad.sprnn:3:17: error[E1")
    assert "  3 |   h' = tanh(h + )" in result.err
    assert result.out == ""


def test_several_errors_are_shown_at_once(sprnnc):
    text = Path("tiny.sprnn").read_text().replace("W @ x", "V @ x").replace("+ b)", "+ d)")
    Path("bad.sprnn").write_text(text)
    assert sprnnc("check", "bad.sprnn").err.count("bad.sprnn:8:") == 2


def test_a_missing_file_is_refused(sprnnc):
    result = sprnnc("check", "nowhere.sprnn")
    assert result.code == 1
    assert "error[E101]: cannot read nowhere.sprnn" in result.err


def test_the_schedule_block_is_checked(sprnnc):
    text = Path("tiny.sprnn").read_text() + "schedule {\n  exchnge = lamport\n  threads = 33\n}\n"
    Path("bad.sprnn").write_text(text)
    result = sprnnc("check", "bad.sprnn")
    assert result.code == 1
    assert (
        "error[E402]: unknown decision 'exchnge'" in result.err and "did you mean 'exchange'?" in result.err
    )
    assert "error[E404]: threads = 33" in result.err and "threads = 33\n" in result.err


def test_the_schedule_block_is_checked_for_a_target(sprnnc):
    Path("wide.sprnn").write_text(Path("tiny.sprnn").read_text() + "schedule {\n  blocks = 140\n}\n")
    assert sprnnc("check", "wide.sprnn").code == 1
    assert sprnnc("check", "wide.sprnn", "--target", "sm_100").code == 0
    assert "E401" in sprnnc("check", "wide.sprnn", "--target", "sm_1").err
