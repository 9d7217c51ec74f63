"""Products of the inputs in the loop: whatever the cell, sizes and schedule, every executor agrees."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from drawn import CELLS, LIMIT, cases
from hypothesis import given, settings
from hypothesis import strategies as st

import sprnnc

EXAMPLES = Path(__file__).parents[2] / "examples"
JOINED = {"input_products": "joined"}

# Two inputs of different sizes, one of them read elementwise too; operands that are equations of inputs; one
# product that another one reads, which stays before the loop; and equations that wait for joined products.
MIXED = """
cell Mixed(I, J, H) {
  input  x[I], z[J], r[H]
  state  h[H], m[H]
  weight W[H, I], V[H, J], Q[J, J], S[H, H]  sparse(0.4)
  weight U[H, H], P[H, H]                    sparse(0.2)
  bias   b[H], s[I]

  scaled = x * sigmoid(s)
  early = W @ scaled + b
  q = V @ tanh(Q @ z)
  gate = sigmoid(early + U @ h + S @ r)
  m' = gate * m + r
  h' = tanh(P @ (gate * h) + early + q)
  output h'
}
model mixed { layer main = Mixed(I=9, J=6, H=21) }
"""


def joined(source: str | Path, batch: int = 2, **more: object) -> sprnnc.Artifact:
    schedule = JOINED | more.pop("schedule", {})  # type: ignore[operator]
    artifact = sprnnc.compile(
        source, random_weights=5, batch=batch, schedule=schedule, **{"target": "sim", **more}
    )
    assert artifact.plan.joined is not None
    return artifact


def draw_input(artifact: sprnnc.Artifact, steps: int) -> np.ndarray:
    shape = (steps, artifact.plan.batch, artifact.manifest.input_size)
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("cell", CELLS)
@settings(max_examples=8)
@given(data=st.data())
def test_plan_agrees_with_reference(cell: str, data: st.DataObject) -> None:
    case = data.draw(cases(cell, schedule=JOINED))
    assert case.artifact.plan.joined is not None
    run = sprnnc.execute(case.artifact, case.x, device="plan", check=True)
    assert run.error is not None and run.error < LIMIT[case.artifact.manifest.dtype]


@pytest.mark.parametrize("cell", CELLS)
@settings(max_examples=2)
@given(data=st.data())
def test_the_generated_kernel_agrees_with_reference(cell: str, data: st.DataObject) -> None:
    case = data.draw(cases(cell, schedule=JOINED))
    seed = data.draw(st.integers(0, 99), label="schedule seed")
    run = sprnnc.execute(case.artifact, case.x, device="sim", check=True, seed=seed)
    assert run.error is not None and run.error < LIMIT[case.artifact.manifest.dtype]


@pytest.mark.parametrize("way", [{}, {"fetch": "threads"}, {"exchange": "barrier"}], ids=str)
@pytest.mark.parametrize("batch", [1, 3, 9])
def test_any_operand_made_of_inputs_joins(way: dict[str, str], batch: int) -> None:
    artifact = joined(MIXED, batch, dtype="fp16", schedule=way)
    assert "product_of_" in artifact.kernel_source  # Q, whose rows V's operand reads
    for device in ("plan", "sim"):
        run = sprnnc.execute(artifact, draw_input(artifact, 12), device=device, check=True)
        assert run.error is not None and run.error < LIMIT["fp16"]


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize("sizes", [{"I": 3, "H": 64}, {"I": 64, "H": 64}, {"I": 32, "H": 7}], ids=str)
def test_aligned_and_ragged_operands_of_either_kind(sizes: dict[str, int], dtype: str) -> None:
    """Copies of 16 bytes and of less, of inputs and of what is exchanged."""
    artifact = joined(source(), 1, sizes=sizes, dtype=dtype)
    run = sprnnc.execute(artifact, draw_input(artifact, 9), device="sim", check=True)
    assert run.error is not None and run.error < LIMIT[dtype]


def source() -> str:
    return (EXAMPLES / "elman_tanh.sprnn").read_text().replace("W[H, I]", "W[H, I]  sparse(0.3)")


@pytest.mark.parametrize("device", ["plan", "sim"])
def test_one_index_serves_the_blocks_of_both_matrices(device: str) -> None:
    text = (EXAMPLES / "elman_tanh.sprnn").read_text()
    text = text.replace("W[H, I]", "W[H, I]  blocks(2, 4, 0.3)").replace("sparse(0.2)", "blocks(2, 4, 0.2)")
    artifact = joined(text, 3, dtype="fp16", schedule={"indices": "block"})
    assert artifact.plan.tile.values > 1
    run = sprnnc.execute(artifact, draw_input(artifact, 12), device=device, check=True)
    assert run.error is not None and run.error < LIMIT["fp16"]


def test_slots_in_every_tier() -> None:
    artifact = joined(source(), 2, sizes={"I": 64}, schedule={"register_slots": 4, "shared_slots": 2})
    phase = artifact.plan.joined
    assert phase and phase.shared_slots and phase.streamed_slots and not phase.register_slots
    run = sprnnc.execute(artifact, draw_input(artifact, 9), device="sim", check=True)
    assert run.error is not None and run.error < LIMIT["fp32"]


@pytest.mark.parametrize("fetch", ["bulk", "threads"])
def test_chunks_and_single_steps_equal_one_call_to_the_bit(fetch: str) -> None:
    artifact = joined(EXAMPLES / "gru_reset_before.sprnn", dtype="fp16", schedule={"fetch": fetch})
    short = joined(
        EXAMPLES / "gru_reset_before.sprnn", dtype="fp16", schedule={"fetch": fetch, "steps_per_launch": 4}
    )
    x = draw_input(artifact, 9)
    whole = sprnnc.execute(artifact, x, device="sim").y
    np.testing.assert_array_equal(sprnnc.execute(short, x, device="sim").y, whole)
    state, steps = None, []
    for t in range(len(x)):
        run = sprnnc.execute(artifact, x[t : t + 1], state=state, device="sim")
        state, steps = run.state, [*steps, run.y]
    np.testing.assert_array_equal(np.concatenate(steps), whole)


def test_nan_and_inf_of_the_inputs_flow_as_in_the_reference() -> None:
    artifact = joined(source())
    x = draw_input(artifact, 12)
    x[3, 0, 0], x[5, 1, 1] = np.nan, np.inf
    x[6, 1, 2] = np.uint32(0xFFFFFFFF).view(np.float32)
    run = sprnnc.execute(artifact, x, device="sim")
    expected = sprnnc.execute(artifact, x, device="reference")
    assert np.isnan(expected.y).any() and np.isfinite(expected.y).any()
    np.testing.assert_array_equal(np.isnan(run.y), np.isnan(expected.y))
    np.testing.assert_allclose(run.y, expected.y, atol=1e-5)


@pytest.mark.parametrize("way", [{}, {"fetch": "threads"}], ids=str)
def test_lengths_and_fewer_columns_than_compiled(way: dict[str, str]) -> None:
    artifact = joined(MIXED, 9, schedule=way | {"steps_per_launch": 5})
    x, lengths = draw_input(artifact, 12)[:, :3].copy(), [12, 0, 7]
    x[7:, 2] = np.nan  # nobody reads what lies past an end
    expected = sprnnc.execute(artifact, x, lengths=lengths, device="reference")
    for device in ("plan", "sim"):
        run = sprnnc.execute(artifact, x, lengths=lengths, device=device)
        np.testing.assert_allclose(run.y, expected.y, atol=1e-5)
        for name, state in expected.state.items():
            np.testing.assert_allclose(run.state[name], state, atol=1e-5)
