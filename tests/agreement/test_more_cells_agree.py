"""Cells unlike the examples: products of products, names that look generated, several spaces, Inf."""

from __future__ import annotations

from pathlib import Path

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
LONG_SUM = f"""
cell Long(I, H) {{
  input  x[I]
  state  h[H]
  weight W[H, I], U[H, H]
  h' = tanh(W @ x + U @ h{"".join(f" + 0.{i:03d} * h" for i in range(400))})
  output h' * {" * ".join(["1.0"] * 300)}
}}
model m {{ layer main = Long(I=4, H=8) }}
"""
CELLS = {"low rank": LOW_RANK, "one matrix twice": TWICE, "biased input": BIASED_INPUT, "chained": CHAINED}
CELLS["long sum"] = LONG_SUM
CELLS["generated names"] = """
cell Names(I, H) {
  input  x[I]
  state  h[H], U_h[H]
  weight W[H, I], U[H, H], V[H, H]
  W_x = W @ x
  a = V @ (2 * h)
  V_operand = 3 * a + 1
  U_h' = 0.5 * tanh(U @ h + U_h + W_x)
  h_next = U @ U_h + V_operand
  h' = tanh(h_next + W @ x + 0.1 * a)
  output h' + h_next
}
model m { layer main = Names(I=5, H=11) }
"""
CELLS["elementwise only"] = """
cell Elementwise(H) {
  input  x[H], z[H]
  state  h[H], c[H]
  bias   b[H]
  c' = 0.5 * c + min(x, b)
  h' = tanh(h * z + c')
  output h' - c
}
model m { layer main = Elementwise(H=37) }
"""
CELLS["four spaces"] = """
cell Spaces(I, H, P, O) {
  input  x[I], z[P]
  state  h[H], p[P]
  weight W[H, I], U[H, H], A[P, H], B[H, P], C[O, P]
  p' = tanh(A @ h + z)
  h' = tanh(W @ x + B @ p + U @ h)
  y = C @ p'
  output y
}
model m { layer main = Spaces(I=3, H=17, P=5, O=11) }
"""


@pytest.mark.parametrize("device", ["plan", "sim"])
@pytest.mark.parametrize("cell", CELLS)
def test_a_cell_agrees_with_reference(cell: str, device: str) -> None:
    artifact = sprnnc.compile(CELLS[cell], random_weights=3, batch=3, target="sim")
    x = np.random.default_rng(1).standard_normal((20, 3, artifact.manifest.input_size)).astype(np.float32)
    run = sprnnc.execute(artifact, x, device=device, check=True, seed=1)
    assert run.error is not None and run.error < 1e-5


SPARSE_INPUT = """
cell SparseInput(I, H) {
  input  x[I]
  state  h[H]
  weight W[H, I]  sparse(0.3)
  weight U[H, H]  sparse(0.2)
  h' = 0.5 * tanh(U @ h) + W @ x
  output h'
}
model m { layer main = SparseInput(I=40, H=12) }
"""


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize("device", ["plan", "sim"])
def test_inf_reaches_only_units_that_have_a_weight_for_it(device: str, dtype: str) -> None:
    artifact = sprnnc.compile(SPARSE_INPUT, random_weights=3, batch=2, target="sim", dtype=dtype)
    x = np.random.default_rng(1).standard_normal((6, 2, 40)).astype(np.float32)
    x[3, 0, 5], x[4, 1, 33] = np.inf, -np.inf
    expected = sprnnc.execute(artifact, x, device="reference").y
    assert np.isinf(expected[3, 0]).any() and np.isfinite(expected[3, 0]).any()
    y = sprnnc.execute(artifact, x, device=device).y
    np.testing.assert_allclose(y, expected, rtol=0.05, atol=0.05)


@pytest.mark.parametrize(
    "tiers", [{}, {"register_slots": 0}, {"register_slots": 0, "shared_slots": 0}], ids=str
)
@pytest.mark.parametrize("device", ["plan", "sim"])
def test_many_units_of_a_thread_in_every_tier(device: str, tiers: dict[str, int]) -> None:
    """Bundles of equal shape share a loop; each has loads of its own."""
    artifact = sprnnc.compile(
        SPARSE_INPUT.replace("H=12", "H=500").replace("sparse(0.2)", "sparse(0.02)"),
        random_weights=3,
        target="sim",
        schedule={"blocks": 1, "threads": 32, **tiers},
    )
    assert any(group.items > 1 for group in artifact.plan.phases[0].row_groups)
    x = np.random.default_rng(1).standard_normal((3, 1, 40)).astype(np.float32)
    run = sprnnc.execute(artifact, x, device=device, check=True)
    assert run.error is not None and run.error < 1e-5


def test_an_artifact_of_a_long_sum_can_be_saved_loaded_and_explained(tmp_path: Path) -> None:
    artifact = sprnnc.compile(LONG_SUM, random_weights=3, target="sim")
    loaded = sprnnc.Artifact.load(artifact.save(tmp_path / "long.sprnnx"))
    assert loaded.to_bytes() == artifact.to_bytes()
    assert sprnnc.explain(loaded) == sprnnc.explain(artifact)
