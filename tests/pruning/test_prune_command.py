"""``sprnnc prune``: files in, files out, all or none."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from sprnnc.sparsity.write_weights import weight_file_bytes


def store(layer, name: str, suffix: str = ".safetensors") -> None:
    Path(f"{name}.sprnn").write_text(layer.text)
    Path(f"{name}{suffix}").write_bytes(weight_file_bytes(Path(f"x{suffix}"), layer.tensors))


def test_a_layer_is_pruned_and_compiles(command, make_gru) -> None:
    store(make_gru(), "gru")
    code, out, err = command("prune", "gru.sprnn", "-o", "pruned", "--pattern", "blocks(4, 4, 0.25)")
    assert (code, err) == (0, "")
    assert out.startswith("wrote pruned/gru.sprnn: density 1 to 0.333; Uz 0.")
    assert sorted(os.listdir("pruned")) == ["gru.safetensors", "gru.sprnn"]
    done = command(
        "compile",
        "pruned/gru.sprnn",
        *("--weights", "pruned/gru.safetensors", "--target", "sim", "-o", "a.sprnnx"),
    )
    assert done[0] == 0, done[2]
    tensors = load_file("pruned/gru.safetensors")
    assert sum(np.count_nonzero(tensors[u]) for u in ("Uz", "Ur", "Un")) == 3 * 32 * 32 // 4


def test_npz_stays_npz_and_several_layers_are_ranked_together(command, make_gru) -> None:
    store(make_gru(), "a")
    store(make_gru(seed=3), "b", ".npz")
    code, out, _ = command("prune", "a.sprnn", "b.sprnn", "-o", "p", "--rank", "all")
    assert code == 0 and out.count("wrote p/") == 2
    assert sorted(os.listdir("p")) == ["a.safetensors", "a.sprnn", "b.npz", "b.sprnn"]
    kept = [load_file("p/a.safetensors"), np.load("p/b.npz")]
    assert sum(np.count_nonzero(t[u]) for t in kept for u in ("Uz", "Ur", "Un")) == round(0.6 * 32 * 32)


def test_to_a_device(command, make_gru) -> None:
    store(make_gru(256), "gru")
    code, out, err = command("prune", "gru.sprnn", "-o", "p", "--fit", "sim")
    assert (code, err) == (0, "")
    assert "density 1 to 0." in out
    assert "E401" in command("prune", "gru.sprnn", "-o", "q", "--fit", "sm_1")[2]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("gru.sprnn", "-o", "."), "E713"),
        (("gru.sprnn", "sub/gru.sprnn", "-o", "p"), "E713"),
        (("gru.sprnn", "other.sprnn", "--weights", "gru.safetensors", "-o", "p"), "E713"),
        (("other.sprnn", "-o", "p"), "E713"),
        (("none.sprnn", "-o", "p"), "E101"),
        (("gru.sprnn", "-o", "p", "--pattern", "sprase(0.1)"), "E710"),
        (("gru.sprnn", "-o", "p", "--pattern", "n_of_m(2, 4)"), "E710"),
        (("gru.sprnn", "-o", "p", "--pattern", "blocks(5, 5, 0.1)"), "E710"),
        (("gru.sprnn", "-o", "p", "--only", "V"), "E713"),
        (("gru.sprnn", "-o", "p", "--weights", "nowhere.npz"), "E302"),
        (("nowhere.sprnn", "-o", "p", "--weights", "gru.safetensors"), "E101"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_written(command, make_gru, arguments, code: str) -> None:
    store(make_gru(), "gru")
    Path("sub").mkdir()
    store(make_gru(), "sub/gru")
    Path("other.sprnn").write_text(make_gru().text)
    before = sorted(Path().rglob("*"))
    status, _, err = command("prune", *arguments)
    assert status == 1 and f"error[{code}]" in err
    assert sorted(Path().rglob("*")) == before


def test_states_at_the_start_come_along(command, make_gru) -> None:
    store(make_gru(), "gru")
    Path("gru.state.safetensors").write_bytes(b"as it is")
    assert command("prune", "gru.sprnn", "-o", "p")[0] == 0
    assert Path("p/gru.state.safetensors").read_bytes() == b"as it is"
