"""Runs the command line in this process, in an empty folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from sprnnc.cli.main import main

SOURCE = """\
cell Elman(I, H) {
  input  x[I]
  state  h[H]
  weight W[H, I]
  weight U[H, H]  sparse(0.25)
  bias   b[H]

  h' = tanh(W @ x + U @ h + b)
  output h'
}

model tiny {
  layer main = Elman(I=4, H=8)
}
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one command line gave back."""

    code: int
    out: str
    err: str


Sprnnc = Callable[..., Outcome]


@pytest.fixture
def sprnnc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Sprnnc:
    """``sprnnc("check", "tiny.sprnn")``; the current folder holds tiny.sprnn and nothing else."""
    (tmp_path / "tiny.sprnn").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str | Path) -> Outcome:
        code = main([str(a) for a in arguments])
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return call


@pytest.fixture
def artifact(sprnnc: Sprnnc, tmp_path: Path) -> Path:
    """tiny.sprnn compiled for sim with batch 2."""
    path = tmp_path / "tiny.sprnnx"
    made = sprnnc(
        "compile", "tiny.sprnn", "--random-weights", "0", "--target", "sim", "--batch", "2", "-o", path
    )
    assert made.code == 0, made.err
    return path
