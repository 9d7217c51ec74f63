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
