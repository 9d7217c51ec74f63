"""The command line in an empty folder, and a layer to prune."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sprnnc.cell.weights import random_weights
from sprnnc.cli.main import main
from sprnnc.language.check import check
from sprnnc.language.parse import parse
from sprnnc.pruning import Layer, make_layer

SOURCE = """\
cell GRU(I, H) {
  input  x[I]
  state  h[H]
  weight Wz[H, I], Wr[H, I], Wn[H, I]
  weight Uz[H, H], Ur[H, H], Un[H, H]
  bias   bz[H], br[H], bn[H], bun[H]

  z = sigmoid(Wz @ x + Uz @ h + bz)
  r = sigmoid(Wr @ x + Ur @ h + br)
  n = tanh(Wn @ x + bn + r * (Un @ h + bun))
  h' = z * h + (1 - z) * n
  output h'
}

model gru { layer main = GRU(I=4, H=HIDDEN) }
"""


def gru(hidden: int = 32, seed: int = 0, filename: str = "gru.sprnn") -> Layer:
    """A dense GRU with random weights; Un is larger than the others."""
    text = SOURCE.replace("HIDDEN", str(hidden))
    tensors = random_weights(check(parse(text)).cell, seed)
    tensors["Un"] *= np.float32(1.3)
    return make_layer(text, tensors, filename)


@pytest.fixture
def make_gru() -> Callable[..., Layer]:
    return gru


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """``command("prune", FILE)`` as (exit code, stdout, stderr), in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> tuple[int, str, str]:
        code = main([str(a) for a in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call
