"""The picture of densities shows those of the files."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

from benchmarks.density_plot import densities, draw, main
from sprnnc.pruning import make_layer
from sprnnc.sparsity.write_weights import weight_file_bytes

SOURCE = """\
cell C(H) {
  input  x[H]
  state  h[H]
  weight W[H, H], U[H, H], V[H, H]
  h' = tanh(W @ x + U @ h) * (V @ h)
  output h'
}
model m { layer main = C(H=8) }
"""


def weights(kept: int) -> dict[str, np.ndarray]:
    u = np.ones(64, np.float32)
    u[kept:] = 0
    return {"W": np.ones((8, 8), np.float32), "U": u.reshape(8, 8), "V": np.eye(8, dtype=np.float32)}


def test_only_what_multiplies_states_is_drawn() -> None:
    assert densities(make_layer(SOURCE, weights(16))) == {"U": 0.25, "V": 0.125}


def test_a_bar_a_gate_and_layer_with_its_number(tmp_path: Path) -> None:
    for name, kept in (("low", 16), ("high", 32)):
        (tmp_path / f"{name}.sprnn").write_text(SOURCE)
        (tmp_path / f"{name}.npz").write_bytes(weight_file_bytes(Path("x.npz"), weights(kept)))
    files = [str(tmp_path / f"{name}.sprnn") for name in ("low", "high")]
    main([*files, "-o", str(tmp_path / "d.svg"), "--title", "two"])
    text = (tmp_path / "d.svg").read_text()
    ElementTree.fromstring(text)
    assert sorted(re.findall(r">([\d.]+\.\d%)<", text)) == ["12.5%", "12.5%", "25.0%", "50.0%"]
    assert all(f">{word}<" in text for word in ("two", "low", "high", "U", "V"))
    main([*files, "-o", str(tmp_path / "e.svg"), "--title", "two"])
    assert (tmp_path / "e.svg").read_text() == text
    with pytest.raises(SystemExit):
        main([*files, "-o", str(tmp_path / "f.svg"), "--names", "one"])


def test_a_gate_that_a_layer_lacks_is_left_out() -> None:
    text = draw({"a": {"U": 0.5, "V": 0.25}, "b": {"U": 1.0}}, "t")
    assert sorted(re.findall(r">([\d.]+\.\d%)<", text)) == ["100.0%", "25.0%", "50.0%"]
