"""Every command on a model of several layers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

SOURCE = """\
cell RNN(I, H) {
  input  x[I]
  state  h[H]
  weight W[H, I], U[H, H]
  h' = tanh(W @ x + U @ h)
  output h'
}
model pair {
  input x[4]
  layer low = RNN(I=4, H=5) on x
  layer back = RNN(I=5, H=5) reverse on low
  output low + back
}
"""


@pytest.fixture
def network(sprnnc) -> Path:
    """pair.sprnn compiled for sim with batch 2."""
    Path("pair.sprnn").write_text(SOURCE)
    made = sprnnc("compile", "pair.sprnn", "--random-weights", "0", "--target", "sim", "--batch", "2")
    assert made.code == 0, made.err
    assert made.out.startswith("wrote pair.sprnnx: 2 layers for sim, fp32, batch 2, ")
    return Path("pair.sprnnx")


def test_check_shows_every_layer(sprnnc) -> None:
    Path("pair.sprnn").write_text(SOURCE)
    done = sprnnc("check", "pair.sprnn", "--size", "back.H=5")
    assert done.code == 0
    assert done.out.splitlines() == [
        "pair.sprnn: ok: model pair, 2 layers, fp32; input x[4]; output low + back",
        "  layer low: cell RNN, on x; weights W[5, 4], U[5, 5]",
        "  layer back: cell RNN, reverse on low; weights W[5, 5], U[5, 5]",
    ]
    wrong = sprnnc("check", "pair.sprnn", "--size", "back.H=6")
    assert wrong.code == 1 and "E225" in wrong.err and "back (line 11) has 6" in wrong.err
    Path("pair.sprnn").write_text(SOURCE + "schedule {\n  blobs = 3\n}\n")
    assert "layer 'low': unknown decision 'blobs'" in sprnnc("check", "pair.sprnn").err


def test_run_takes_states_by_layer_and_checks(sprnnc, network: Path) -> None:
    save_file({"back.h": np.full((2, 5), 0.5, np.float32)}, "s.safetensors")
    np.save("x.npy", np.random.default_rng(0).standard_normal((6, 2, 4)).astype(np.float32))
    for device in ("sim", "plan", "reference"):
        options = ("--device", device, "--check", "--output", f"{device}.npy")
        done = sprnnc("run", network, "--input", "x.npy", "--state", "s.safetensors", *options)
        assert done.code == 0, done.err
        assert "within 1e-05" in done.out
    assert np.load("sim.npy").shape == (6, 2, 5)
    save_file({"h": np.zeros((2, 5), np.float32)}, "s.safetensors")
    wrong = sprnnc("run", network, "--state", "s.safetensors")
    assert wrong.code == 1 and "the network has ['low.h', 'back.h']" in wrong.err


def test_explain_shows_the_plan_and_every_layer(sprnnc, network: Path) -> None:
    done = sprnnc("explain", network)
    assert done.code == 0
    for text in (
        "pair: 2 layers in 2 kernels, 4 values in, 5 out",
        "kernels = each  #",
        "back.in[0:] = low turned around",
        "joined            120 read, and as many written",
        "\nlayer low\n",
        "  pair_back: RNN with H = 5, I = 5",
    ):
        assert text in done.out
    part = sprnnc("explain", network, "--layer", "back")
    assert part.out.startswith("pair_back: RNN with") and "layer low" not in part.out
    page = sprnnc("explain", network, "--layer", "back", "--html", "back.html")
    assert page.code == 0 and Path("back.html").read_text().startswith("<!DOCTYPE html>")


def test_times_of_layers_are_predicted_for_a_gpu(sprnnc) -> None:
    Path("pair.sprnn").write_text(SOURCE)
    assert sprnnc("compile", "pair.sprnn", "--random-weights", "0").code == 0
    lines = sprnnc("explain", "pair.sprnnx").out.splitlines()
    at = lines.index("predicted microseconds a step, products of inputs and joins aside")
    low, back, total = (line.split() for line in lines[at + 1 : at + 4])
    assert [low[0], back[0], total[0]] == ["low", "back", "total"]
    assert float(low[1]) + float(back[1]) == pytest.approx(float(total[1]), abs=2e-3)
    done = sprnnc("export", "pair.sprnnx", "--layer", "low", "-o", "low")
    assert done.code == 0 and Path("low/pair_low.cu").exists()


def test_a_layer_without_states_is_exported(sprnnc) -> None:
    dense = "cell Dense(I, O) {\n  input x[I]\n  weight W[O, I]\n  y = W @ x\n  output y\n}\n"
    Path("dense.sprnn").write_text(dense + "model dense { layer main = Dense(I=4, O=3) }\n")
    assert sprnnc("compile", "dense.sprnn", "--random-weights", "0").code == 0
    assert sprnnc("export", "dense.sprnnx", "-o", "out").code == 0
    assert "set_state" not in Path("out/dense.h").read_text()


@pytest.mark.parametrize("form", ["cu", "cubin"])
def test_a_whole_network_is_exported(sprnnc, form: str) -> None:
    Path("pair.sprnn").write_text(SOURCE)
    assert sprnnc("compile", "pair.sprnn", "--random-weights", "0").code == 0
    done = sprnnc("export", "pair.sprnnx", "-o", "out", "--form", form)
    assert done.code == 0, done.err
    expected = {"cu": {"pair.cu", "pair.weights"}, "cubin": {"pair.json", "low.cubin", "between.cubin"}}
    assert expected[form] <= {path.name for path in Path("out").iterdir()}


@pytest.mark.parametrize(
    "arguments",
    [
        ("explain", "pair.sprnnx", "--html", "out"),
        ("explain", "pair.sprnnx", "--compare-orders"),
        ("compare", "pair.sprnnx", "pair.sprnnx"),
        ("compile", "pair.sprnn", "--random-weights", "0", "--target", "sim", "--emit", "cuda", "-o", "out"),
    ],
    ids=lambda a: " ".join(a[:1] + a[-2:-1]),
)
def test_commands_of_one_layer_say_so(sprnnc, network: Path, arguments: tuple[str, ...]) -> None:
    done = sprnnc(*arguments)
    assert done.code == 1
    assert "E622" in done.err and "low, back" in done.err
    assert not Path("out").exists()


def test_an_unknown_layer_is_answered_with_those_there_are(sprnnc, network: Path) -> None:
    done = sprnnc("explain", network, "--layer", "lo")
    assert done.code == 1 and "did you mean 'low'? layers: low, back" in done.err


def test_a_layer_of_an_artifact_with_one_may_be_named_too(sprnnc, artifact: Path) -> None:
    assert sprnnc("explain", artifact, "--layer", "main").code == 0
    done = sprnnc("explain", artifact, "--layer", "low")
    assert done.code == 1 and "the only one is main" in done.err


def test_parts_that_compile_emits(sprnnc) -> None:
    Path("pair.sprnn").write_text(SOURCE)
    common = ("compile", "pair.sprnn", "--random-weights", "0", "--target", "sim", "-o", "-")
    assert "low = layer low on x" in sprnnc(*common, "--emit", "plan").out
    assert "recurrence(" in sprnnc(*common, "--emit", "cuda", "--layer", "back").out
