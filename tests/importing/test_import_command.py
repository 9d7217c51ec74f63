"""``sprnnc import``: files in, files out, all or none."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from pytorch_state import documented, random_state
from safetensors.numpy import save_file

import sprnnc


def test_what_is_written_compiles_and_runs_as_the_origin_does(command) -> None:
    state = random_state("LSTM", 5, 16, prefix="rnn.")
    save_file(state, "speech.safetensors")
    code, out, err = command("import", "speech.safetensors", "-o", "new/speech")
    assert (code, err) == (0, "")
    assert "new/speech/rnn_l0.sprnn, .safetensors: LSTM, 5 inputs, 16 units, density 1; error " in out
    assert "against PyTorch's nn.LSTM" in out
    assert sorted(os.listdir("new/speech")) == ["rnn_l0.safetensors", "rnn_l0.sprnn"]
    artifact = sprnnc.compile(
        Path("new/speech/rnn_l0.sprnn"), weights="new/speech/rnn_l0.safetensors", batch=2, target="sim"
    )
    x = np.random.default_rng(0).standard_normal((6, 2, 5)).astype(np.float32)
    expected = documented("LSTM", state, x.astype(np.float64), "rnn.")
    for device in ("reference", "plan", "sim"):
        y = sprnnc.execute(artifact, x, device=device).y
        assert np.linalg.norm(y - expected) / np.linalg.norm(expected) < 1e-6


def test_a_stack_is_one_model_that_runs_as_the_origin_does(command) -> None:
    state = random_state("GRU", 3, 4, layers=2, both=True)
    save_file(state, "m.safetensors")
    code, out, _ = command("import", "m.safetensors", "-o", "m")
    assert code == 0
    assert (
        "wrote m/gru.sprnn, .safetensors: 4 layers, the first GRU, 3 inputs, 4 units, density 1; error" in out
    )
    assert sorted(os.listdir("m")) == ["gru.safetensors", "gru.sprnn"]
    artifact = sprnnc.compile(Path("m/gru.sprnn"), weights="m/gru.safetensors", batch=2, target="sim")
    x = np.random.default_rng(0).standard_normal((6, 2, 3)).astype(np.float32)
    expected = documented("GRU", state, x.astype(np.float64))
    for device in ("reference", "plan", "sim"):
        y = sprnnc.execute(artifact, x, device=device).y
        assert np.linalg.norm(y - expected) / np.linalg.norm(expected) < 1e-6


def test_layers_and_directions_apart_are_explained(command) -> None:
    save_file(random_state("GRU", 3, 4, layers=2, both=True), "m.safetensors")
    code, out, _ = command("import", "m.safetensors", "-o", "m", "--split")
    assert code == 0
    assert len(os.listdir("m")) == 8
    assert "one layer and direction" in out
    assert "gru_l0_reverse, gru_l1_reverse: give the input backwards" in out


def test_nonlinearity_is_asked_for(command) -> None:
    save_file(random_state("relu", 3, 4), "m.safetensors")
    code, _, err = command("import", "m.safetensors", "-o", "m")
    assert code == 1 and "--nonlinearity relu" in err
    assert not Path("m").exists()
    assert command("import", "m.safetensors", "-o", "m", "--nonlinearity", "relu")[0] == 0
    assert "relu(" in Path("m/rnnrelu_l0.sprnn").read_text()


@pytest.mark.parametrize("cut", [4, 40, -10])
def test_a_truncated_file_writes_nothing(command, cut: int) -> None:
    save_file(random_state("LSTM", 3, 4), "whole.safetensors")
    Path("m.safetensors").write_bytes(Path("whole.safetensors").read_bytes()[:cut])
    code, _, err = command("import", "m.safetensors", "-o", "m")
    assert code == 1 and "E302" in err
    assert not Path("m").exists()


def test_unknown_kinds_and_missing_files_are_refused(command) -> None:
    Path("m.txt").write_text("")
    assert "E701" in command("import", "m.txt")[2]
    assert "E302" in command("import", "nowhere.safetensors")[2]
    assert "E302" in command("import", "nowhere.npz")[2]


def test_integers_are_no_weights(command) -> None:
    save_file({"weight_hh_l0": np.zeros((4, 4), np.int64)}, "m.safetensors")
    assert "E306" in command("import", "m.safetensors")[2]


def test_a_folder_that_cannot_be_written_keeps_nothing(command) -> None:
    save_file(random_state("LSTM", 3, 4), "m.safetensors")
    Path("m/lstm_l0.safetensors").mkdir(parents=True)
    code, _, err = command("import", "m.safetensors", "-o", "m")
    assert code == 1 and "E605" in err
    assert os.listdir("m") == ["lstm_l0.safetensors"]
    Path("file").write_text("")
    assert "E605" in command("import", "m.safetensors", "-o", "file/m")[2]


class _Code:
    """Pickles as a call that leaves a trace."""

    def __reduce__(self):
        return (os.mkdir, ("trace",))


def test_a_pickle_with_code_is_refused_and_not_run(command) -> None:
    Path("m.pt").write_bytes(pickle.dumps({"weight_hh_l0": _Code()}))
    code, _, err = command("import", "m.pt", "-o", "m")
    assert code == 1
    assert "E704" in err or "E707" in err
    assert "safetensors.torch.save_file" in err
    assert not Path("trace").exists() and not Path("m").exists()
