"""Files of several layers: pruned layer by layer, and put together again as one text that declares it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import sprnnc
from sprnnc.cell.network_weights import network_shapes
from sprnnc.language.check import check_program
from sprnnc.language.parse import parse
from sprnnc.pruning import Rank, Request, pattern_from_text, prune_layers, put_together, take_apart

SOURCE = """\
cell RNN(I, H) {  # two layers use it
  input  x[I]
  state  h[H]
  weight W[H, I], U[H, H]
  h' = tanh(W @ x + U @ h)
  output h'
}
cell RNN_2(H) {
  input  x[H]
  state  h[H]
  h' = tanh(x + h)
  output h'
}
model m {
  input x[16]
  layer a = RNN(I=16, H=16) on x
  layer b = RNN(I=16, H=16) reverse on a
  layer c = RNN(I=16, H=16) shares b on b
  output c
}
"""


@pytest.fixture
def tensors() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    shapes = network_shapes(check_program(parse(SOURCE)))
    found = {n: rng.standard_normal(s).astype(np.float32) / 4 for n, s in shapes.items()}
    found["b.U"] /= 4  # so that ranked together it keeps less
    return found


def pruned(tensors: dict[str, np.ndarray], pattern: str, **more: object) -> object:
    whole = take_apart(SOURCE, tensors, "m.sprnn")
    request = Request(pattern_from_text(pattern), **more)
    return put_together(whole, prune_layers(whole.layers, request))


def test_layers_that_come_out_alike_keep_their_cell(tensors: dict[str, np.ndarray]) -> None:
    whole = pruned(tensors, "sparse(0.25)")
    wanted = SOURCE.replace("weight W[H, I], U[H, H]", "weight W[H, I]\n  weight U[H, H]  sparse(0.25)")
    assert whole.text == wanted
    assert {n: np.count_nonzero(t) for n, t in whole.tensors.items() if n.endswith("U")} == {
        "a.U": 64,
        "b.U": 64,
    }
    for name in ("a.W", "b.W"):
        np.testing.assert_array_equal(whole.tensors[name], tensors[name])


def test_layers_that_come_out_different_get_cells_of_their_own(tensors: dict[str, np.ndarray]) -> None:
    whole = pruned(tensors, "sparse(0.25)", rank=Rank.ALL)
    assert "cell RNN_3(I, H) {  # two layers use it" in whole.text
    assert "layer a = RNN(I=16, H=16) on x" in whole.text
    assert "layer b = RNN_3(I=16, H=16) reverse on a" in whole.text
    assert "layer c = RNN_3(I=16, H=16) shares b on b" in whole.text
    counts = [np.count_nonzero(whole.tensors[n]) for n in ("a.U", "b.U")]
    assert sum(counts) == 128 and counts[0] > counts[1] > 0
    x = np.random.default_rng(1).standard_normal((6, 2, 16)).astype(np.float32)
    artifact = sprnnc.compile(whole.text, weights=whole.tensors, batch=2, target="sim")
    assert sprnnc.execute(artifact, x, device="plan", check=True).error < 1e-6


def test_only_names_a_matrix_of_one_layer(tensors: dict[str, np.ndarray]) -> None:
    whole = pruned(tensors, "sparse(0.5)", only=("b.U",))
    assert [np.count_nonzero(whole.tensors[n]) for n in ("a.U", "b.U", "b.W")] == [256, 128, 256]
    with pytest.raises(sprnnc.CompileError, match=r"E713(.|\n)*a\.W, a\.U, b\.W, b\.U"):
        pruned(tensors, "sparse(0.5)", only=("c.U",))


def test_the_command_writes_one_model(command, tensors: dict[str, np.ndarray]) -> None:
    Path("m.sprnn").write_text(SOURCE)
    save_file(tensors, "m.safetensors")
    code, out, err = command("prune", "m.sprnn", "-o", "p", "--pattern", "blocks(4, 4, 0.25)")
    assert (code, err) == (0, "")
    assert out.startswith("wrote p/m.sprnn: density 1 to 0.625; a.U 0.25, b.U 0.25")
    assert sorted(os.listdir("p")) == ["m.safetensors", "m.sprnn"]
    assert load_file("p/m.safetensors").keys() == tensors.keys()
    made = ("compile", "p/m.sprnn", "--weights", "p/m.safetensors", "--target", "sim", "-o", "m.sprnnx")
    assert command(*made)[0] == 0
    assert command("prune", "m.sprnn", "-o", "q", "--fit", "sim")[0] == 0
