"""Cells unlike the examples: products of products, names that look generated, several spaces, Inf."""

from __future__ import annotations

import numpy as np
import pytest

import sprnnc

LOW_RANK = """
cell LowRank(I, H, R) {
  input  x[I]
  state  h[H]
  weight W[H, I], V[R, H], U[H, R]
  h' = tanh(U @ (V @ h) + W @ x)
  output h'
}
model m { layer main = LowRank(I=5, H=21, R=6) }
"""
TWICE = LOW_RANK.replace("V[R, H], U[H, R]", "U[H, H]").replace("U @ (V @ h)", "U @ U @ h")
TWICE = TWICE.replace("(I, H, R)", "(I, H)").replace(", R=6", "")
BIASES = "b t k input weight product operand steps x_ param_b inputs_1".split()
BIASED_INPUT = f"""
cell Biased(I, H) {{
  input  x[I]
  state  h[H]
  weight W[H, I], U[H, H]
  bias   {", ".join(f"{name}[I]" for name in BIASES)}
  h' = tanh(W @ ({" - ".join(["x", *BIASES])}) + U @ h)
  output h'
}}
model m {{ layer main = Biased(I=4, H=8) }}
"""
CHAINED = """
cell Chained(I, H) {{
  input  x[I]
  state  h[H]
  bias   b[I]
  weight V[I, I], W[H, I], U[H, H]
  a0 = x + b
{}
  t = tanh(V @ a{last} + a{last})
  h' = tanh(W @ t + U @ h)
  output h'
}}
model m {{ layer main = Chained(I=4, H=8) }}
""".format("\n".join(f"  a{i} = tanh(a{i - 1} + a{i - 1})" for i in range(1, 300)), last=299)
CELLS = {"low rank": LOW_RANK, "one matrix twice": TWICE, "biased input": BIASED_INPUT, "chained": CHAINED}


@pytest.mark.parametrize("device", ["plan", "sim"])
@pytest.mark.parametrize("cell", CELLS)
def test_a_cell_agrees_with_reference(cell: str, device: str) -> None:
    artifact = sprnnc.compile(CELLS[cell], random_weights=3, batch=3, target="sim")
    x = np.random.default_rng(1).standard_normal((20, 3, artifact.manifest.input_size)).astype(np.float32)
    run = sprnnc.execute(artifact, x, device=device, check=True, seed=1)
    assert run.error is not None and run.error < 1e-5
