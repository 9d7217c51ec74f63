"""Layers in one kernel, from the text of a model to its files, messages and decisions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sprnn_runtime
from sprnn_runtime.network import open_network

import sprnnc
from sprnnc.cli.one_layer import one_layer
from sprnnc.explanation.network_text import explain_network
from sprnnc.schedule.network_parts import Kernels

MODELS = Path(__file__).parents[2] / "examples/models"


def compiled(name: str, target: str = "sim", **schedule: Any) -> sprnnc.NetworkArtifact:
    made = sprnnc.compile(
        MODELS / f"{name}.sprnn", random_weights=3, batch=2, target=target, schedule=schedule
    )
    assert isinstance(made, sprnnc.NetworkArtifact)
    return made


@pytest.mark.parametrize("kernels", ["in_turn", "wavefront"])
def test_a_file_of_fused_layers_runs_as_the_network_that_it_is(kernels: str, tmp_path: Path) -> None:
    artifact = compiled("residual", kernels=kernels, blocks=2, threads=64, steps_per_launch=4)
    assert list(artifact.parts) == ["lower_to_upper", "dense"]
    path = artifact.save(tmp_path / "r.sprnnx")
    assert sprnnc.load(path).to_bytes() == artifact.to_bytes()
    x = np.random.default_rng(1).standard_normal((9, 2, 32)).astype(np.float32)
    state = {"upper.c": np.ones((2, 32), np.float32)}
    wanted = sprnnc.execute(artifact, x, state, device="reference")
    with sprnn_runtime.load(path, "sim") as network:
        y, after = network(x, state)
        short, _ = network(x, state, lengths=[9, 6])
    np.testing.assert_allclose(y, wanted.y, atol=2e-6)
    assert list(after) == ["lower.h", "lower.c", "upper.h", "upper.c"]
    for name, value in after.items():
        np.testing.assert_allclose(value, wanted.state[name], atol=2e-6)
    np.testing.assert_array_equal(short[:6], y[:6])
    assert not short[6:, 1].any()


def test_a_stack_streams_as_one_call_gives() -> None:
    artifact = compiled("residual", kernels="wavefront", blocks=2, threads=64)
    x = np.random.default_rng(2).standard_normal((7, 2, 32)).astype(np.float32)
    with open_network(artifact.loaded(), "sim") as network:
        y, _ = network(x)
        stream = network.stream()
        np.testing.assert_array_equal(np.concatenate([stream(x[:1]), stream(x[1:4]), stream(x[4:])]), y)


def test_where_both_are_predicted_the_faster_is_taken_and_the_numbers_are_said() -> None:
    plan = compiled("residual", "sm_90").plan
    assert plan.kernels.value is Kernels.WAVEFRONT
    assert "us a step predicted as a wavefront" in plan.kernels.reason
    assert "nothing was measured" in compiled("residual", "sm_80").plan.kernels.reason
    assert "no two layers follow" in compiled("bidirectional", "sm_90").plan.kernels.reason


def test_it_is_explained_and_its_layers_are_not_taken_apart() -> None:
    artifact = compiled("residual", "sm_90", kernels="wavefront")
    text = explain_network(artifact)
    assert "layers lower, upper in one kernel" in text and "lower_to_upper = lower, upper in one" in text
    with pytest.raises(sprnnc.CompileError, match=r"E622.*'lower' has no kernel of its own"):
        one_layer(artifact, "lower", "this")


@pytest.mark.parametrize(("name", "schedule", "message"), [
    ("bidirectional", {"kernels": "wavefront"}, "E404.*kernels = wavefront cannot be: no two layers"),
    ("residual", {"kernels": "both"}, "E403.*expected fitting or each or in_turn or wavefront"),
    ("residual", {"kernels": "wavefront", "lower.blocks": 2}, "E402.*layers with kernels: lower_to_upper"),
    ("residual", {"kernels": "wavefront", "resets": "by_mask"}, "E404.*say kernels = in_turn"),
], ids=["direction", "name", "part", "resets"])  # fmt: skip
def test_what_cannot_be_is_said(name: str, schedule: dict[str, Any], message: str) -> None:
    with pytest.raises(sprnnc.CompileError, match=f"(?s){message}"):
        compiled(name, **schedule)


def test_shared_tensors_of_which_layers_take_other_columns_are_whole() -> None:
    text = """\
cell RNN(I, H) {
  input  x[I]
  state  h[H]
  weight W[H, I], U[H, H]
  h' = tanh(W @ x + U @ h)
  output h'
}
model m {
  input x[8]
  layer z = RNN(I=8, H=4) on x
  layer a = RNN(I=8, H=4) on [z, z]
  layer w = RNN(I=4, H=8) on a
  layer b = RNN(I=8, H=4) shares a on w
  output b
}
"""
    artifact = sprnnc.compile(text, random_weights=1, target="sim", schedule={"kernels": "wavefront"})
    assert isinstance(artifact, sprnnc.NetworkArtifact) and len(artifact.parts) == 1
    each = sprnnc.compile(text, random_weights=1, target="sim", schedule={"kernels": "each"})
    assert isinstance(each, sprnnc.NetworkArtifact)
    for name, tensor in each.layer_tensors()["a"].items():
        np.testing.assert_array_equal(artifact.layer_tensors()["a"][name], tensor)
    x = np.random.default_rng(3).standard_normal((5, 1, 8)).astype(np.float32)
    error = sprnnc.execute(artifact, x, device="plan", check=True).error
    assert error is not None and error < 1e-6
