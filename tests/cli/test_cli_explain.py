"""``sprnnc explain``, and progress."""

from __future__ import annotations

import io
import sys

from sprnnc.artifact import Artifact
from sprnnc.cli.progress import progress
from sprnnc.explanation import explain as explain_artifact


def test_explain_prints_what_the_library_says(sprnnc, artifact):
    result = sprnnc("explain", artifact)
    assert result.code == 0
    assert result.out == explain_artifact(Artifact.load(artifact))
    assert result.out.startswith("tiny: Elman with ")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_shows_the_stage_on_a_terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress("compiling") as report:
        report("layout")
    assert "compiling" in sys.stderr.getvalue()


def test_progress_is_silent_elsewhere(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with progress("compiling") as report:
        report("layout")
    assert sys.stderr.getvalue() == ""


def test_orders_are_compared_on_demand(sprnnc, artifact):
    result = sprnnc("explain", artifact, "--compare-orders")
    assert result.code == 0
    assert "greedy" in result.out and "plain" in result.out
    assert "bank order  " not in sprnnc("explain", artifact).out


def test_a_page_is_written_instead_of_the_text(sprnnc, artifact, tmp_path):
    page = tmp_path / "page.html"
    result = sprnnc("explain", artifact, "--html", page)
    assert result.code == 0, result.err
    assert result.out == f"wrote {page}: {page.stat().st_size} bytes\n"
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_a_page_that_cannot_be_written(sprnnc, artifact, tmp_path):
    result = sprnnc("explain", artifact, "--html", tmp_path / "nowhere" / "page.html")
    assert result.code == 1
    assert "error[E605]: cannot write" in result.err
    assert result.out == ""


def test_no_page_is_left_of_an_artifact_that_cannot_be_read(sprnnc, tmp_path):
    result = sprnnc("explain", tmp_path / "none.sprnnx", "--html", tmp_path / "page.html")
    assert result.code == 1
    assert "error[E602]" in result.err
    assert not (tmp_path / "page.html").exists()


def test_help_shows_the_options(sprnnc):
    shown = sprnnc("explain", "--help").out
    assert "--html PAGE" in shown and "--compare-orders" in shown
