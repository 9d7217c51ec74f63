"""Stacks as one text and one set of tensors, run beside what they came from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pytorch_state import GATES, documented, random_state

import sprnnc
from sprnnc.importing import files_of_models, from_state_dict, whole_models


def relative(y: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(y - expected) / np.linalg.norm(expected))


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("kind", GATES)
def test_a_stack_agrees_with_the_documented_equations(kind: str, both: bool) -> None:
    projection = 3 if kind == "LSTM" and both else 0
    state = random_state(kind, 5, 6, layers=3, both=both, projection=projection)
    (model,) = whole_models(from_state_dict(state, kind if kind in ("tanh", "relu") else None))
    artifact = sprnnc.compile(model.source, weights=model.tensors, batch=2, target="sim")
    x = np.random.default_rng(0).standard_normal((7, 2, 5)).astype(np.float32)
    wanted = documented(kind, state, x.astype(np.float64))
    assert relative(sprnnc.execute(artifact, x, device="plan").y, wanted) < 1e-6
    assert len(artifact.network.layers) == 3 * (1 + both)
    assert model.source.count("\ncell ") == 1, "layers that are alike share a cell"


def test_cells_that_differ_have_names_of_their_own() -> None:
    state = random_state("LSTM", 5, 6, layers=3)
    state["weight_hh_l1"] *= np.random.default_rng(0).random(state["weight_hh_l1"].shape) < 0.5
    (model,) = whole_models(from_state_dict(state))
    assert "cell LSTM(I, H)" in model.source and "cell LSTM_2(I, H)" in model.source
    assert "layer l1 = LSTM_2(I=6, H=6) on l0\n  layer l2 = LSTM(I=6, H=6) on l1" in model.source
    assert "sparse(0." in model.source


def test_each_stack_of_a_file_is_a_model() -> None:
    state = random_state("GRU", 5, 6, layers=2, prefix="encoder.") | random_state("LSTM", 3, 4, prefix="top.")
    models = whole_models(from_state_dict(state))
    assert [(m.name, len(m.layers)) for m in models] == [("encoder", 2), ("top_l0", 1)]
    assert set(files_of_models(models)) == {
        "encoder.sprnn",
        "encoder.safetensors",
        "top_l0.sprnn",
        "top_l0.safetensors",
    }
    (layer,) = models[1].layers
    assert models[1].source == layer.source and models[1].tensors is layer.tensors


def test_a_reversed_layer_alone_is_a_model_that_turns_around() -> None:
    _, back = from_state_dict(random_state("GRU", 5, 6, both=True))
    (model,) = whole_models([back])
    assert "layer l0_reverse = GRU(I=5, H=6) reverse on x\n  output l0_reverse" in model.source
    initial = {"h": np.full((2, 6), 0.5, np.float32)}
    (model,) = whole_models([replace(back, initial=initial)])
    np.testing.assert_array_equal(model.initial["l0_reverse.h"], initial["h"])
    assert "gru_l0_reverse.state.safetensors" in files_of_models([model])


def test_a_whole_that_does_not_agree_is_refused() -> None:
    below, above = from_state_dict(random_state("GRU", 6, 6, layers=2))
    other = from_state_dict(random_state("GRU", 6, 6, layers=2, seed=1))[0]
    with pytest.raises(sprnnc.CompileError, match=r"E706.*gru does not agree"):
        whole_models([replace(below, tensors=other.tensors), above])
