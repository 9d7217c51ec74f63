"""``sprnnc run``."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from numpy.lib.format import magic
from sprnn_runtime import Unavailable

from sprnnc.artifact import Artifact
from sprnnc.cli import run
from sprnnc.executors import execute, relative_error


def fields(out: str) -> dict[str, str]:
    """The lines ``name  value`` of a run."""
    return dict(line.split(maxsplit=1) for line in out.splitlines())


def save_input(steps: int = 5) -> np.ndarray:
    """Writes x.npy, float32 [steps, 2, 4]."""
    x = np.random.default_rng(3).standard_normal((steps, 2, 4)).astype(np.float32)
    np.save("x.npy", x)
    return x


def test_a_random_input_has_64_steps(sprnnc, artifact):
    result = sprnnc("run", artifact, "--device", "plan")
    assert result.code == 0
    shown = fields(result.out)
    assert (shown["device"], shown["steps"], shown["batch"]) == ("plan", "64", "2")
    assert float(shown["seconds"]) >= 0
    assert shown["y"].startswith("min ")
    assert "error" not in shown
    assert result.err == ""


def test_the_simulated_kernel_agrees_with_the_reference(sprnnc, artifact):
    result = sprnnc("run", artifact, "--device", "sim", "--steps", "3", "--seed", "7", "--check")
    assert result.code == 0
    shown = fields(result.out)
    assert (shown["device"], shown["steps"]) == ("sim", "3")
    assert float(shown["error"].split()[0]) < 1e-5
    assert shown["error"].endswith("within 1e-05")


def test_the_seed_draws_the_input(sprnnc, artifact):
    def summary(seed: str) -> str:
        return fields(sprnnc("run", artifact, "--device", "plan", "--steps", "4", "--seed", seed).out)["y"]

    assert summary("1") == summary("1") != summary("2")


def test_input_and_output_files(sprnnc, artifact):
    x = save_input()
    assert sprnnc("run", artifact, "--device", "plan", "--input", "x.npy", "--output", "y.npy").code == 0
    y = np.load("y.npy", allow_pickle=False)
    assert (y.dtype, y.shape) == (np.float32, (5, 2, 8))
    np.testing.assert_array_equal(y, execute(artifact, x, device="plan").y)


def test_what_the_reference_writes_is_float32_too(sprnnc, artifact):
    assert sprnnc("run", artifact, "--device", "reference", "--steps", "3", "--output", "y.npy").code == 0
    assert np.load("y.npy", allow_pickle=False).dtype == np.float32


def test_an_input_of_another_precision_is_converted(sprnnc, artifact):
    np.save("x.npy", save_input().astype(np.float64))
    assert sprnnc("run", artifact, "--device", "reference", "--input", "x.npy", "--check").code == 0


@pytest.mark.parametrize("error", [2e-5, float("nan")])
def test_an_error_above_the_bound_exits_3(sprnnc, artifact, monkeypatch, error):
    monkeypatch.setattr("sprnnc.executors.relative_error", lambda got, expected: error)
    result = sprnnc("run", artifact, "--device", "plan", "--check")
    assert result.code == 3
    assert fields(result.out)["error"].endswith("ABOVE 1e-05")


def test_half_precision_has_a_wider_bound(sprnnc):
    compiled = ("--random-weights", "0", "--target", "sim", "--dtype", "fp16")
    assert sprnnc("compile", "tiny.sprnn", *compiled).code == 0
    result = sprnnc("run", "tiny.sprnnx", "--device", "plan", "--check")
    assert result.code == 0
    assert 1e-5 < float(fields(result.out)["error"].split()[0]) < 1e-2


@pytest.mark.parametrize("steps", ["0", "-3"])
def test_steps_below_one_are_refused(sprnnc, artifact, steps):
    result = sprnnc("run", artifact, "--steps", steps)
    assert result.code == 1
    assert f"error[E604]: cannot run {steps} steps" in result.err


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((5, 2, 4), np.int64), "x.npy holds int64, expected float32"),
        (np.zeros((5, 2, 4), np.complex64), "x.npy holds complex64, expected float32"),
        (np.zeros((5, 2, 3), np.float32), "input has shape [5, 2, 3], expected [T, 2, 4]"),
        (np.zeros((5, 3, 4), np.float32), "input has shape [5, 3, 4], expected [T, 2, 4]"),
        (np.zeros(4, np.float32), "input has shape [4], expected [T, 2, 4]"),
        (np.zeros((0, 2, 4), np.float32), "input has no time steps"),
    ],
)
def test_an_input_of_the_wrong_type_or_shape_is_refused(sprnnc, artifact, array, message):
    np.save("x.npy", array)
    result = sprnnc("run", artifact, "--device", "plan", "--input", "x.npy", "--output", "y.npy")
    assert result.code == 1
    assert f"error[E604]: {message}" in result.err
    assert not Path("y.npy").exists()


def forged_header() -> bytes:
    """A .npy file of 2**60 floats, by its own account."""
    text = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1152921504606846976,)}\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize(
    "content", [b"", b"garbage", b"\x93NUMPY\x01\x00", b"PK\x03\x04zip", forged_header()]
)
def test_garbage_is_not_an_input(sprnnc, artifact, content):
    Path("x.npy").write_bytes(content)
    result = sprnnc("run", artifact, "--input", "x.npy")
    assert result.code == 1
    assert result.err.startswith("error[E616]: x.npy is not a usable .npy file")


class Trap:
    """Unpickling this would make a file."""

    def __reduce__(self):
        return (open, ("sprung", "w"))


def test_a_pickle_is_never_loaded(sprnnc, artifact):
    np.save("x.npy", np.array([Trap()], dtype=object), allow_pickle=True)
    assert sprnnc("run", artifact, "--input", "x.npy").code == 1
    assert not Path("sprung").exists()


def test_a_missing_input_is_refused(sprnnc, artifact):
    result = sprnnc("run", artifact, "--input", "nowhere.npy")
    assert result.code == 1
    assert "error[E616]: cannot read nowhere.npy" in result.err


def test_an_output_that_cannot_be_written_leaves_nothing(sprnnc, artifact):
    result = sprnnc("run", artifact, "--device", "plan", "--output", "no/such/y.npy")
    assert result.code == 1
    assert "error[E605]" in result.err
    assert not Path("no").exists()


@pytest.mark.parametrize("command", ["run", "explain"])
def test_a_corrupted_artifact_is_refused(sprnnc, artifact, command):
    data = bytearray(artifact.read_bytes())
    data[len(data) // 2] ^= 1
    artifact.write_bytes(data)
    result = sprnnc(command, artifact)
    assert result.code == 1
    assert result.err.startswith("error[E603]")


@pytest.mark.parametrize("command", ["run", "explain"])
def test_a_missing_artifact_is_refused(sprnnc, command):
    result = sprnnc(command, "nowhere.sprnnx")
    assert result.code == 1
    assert "error[E602]: cannot read artifact nowhere.sprnnx" in result.err


def test_default_steps_are_what_help_says(sprnnc):
    assert f"(default: {run.DEFAULT_STEPS})" in sprnnc("run", "--help").out


def test_an_output_that_cannot_be_written_is_found_before_the_run(sprnnc, artifact, monkeypatch):
    def never(*_, **__):
        raise AssertionError("it ran first")

    monkeypatch.setattr("sprnnc.cli.run.execute", never)
    result = sprnnc("run", artifact, "--device", "plan", "--output", "no/such/y.npy")
    assert result.code == 1 and "E605" in result.err


@pytest.mark.parametrize("header", ["(" * 3000, "-" * 9000 + "1", "[" * 190 + "-" * 2000])
def test_an_input_with_a_malicious_header_is_refused(sprnnc, artifact, header):
    Path("x.npy").write_bytes(magic(1, 0) + struct.pack("<H", len(header)) + header.encode())
    result = sprnnc("run", artifact, "--input", "x.npy")
    assert result.code == 1
    assert result.err.startswith("error[E616]: x.npy is not a usable .npy file")


def test_auto_says_why_it_took_the_reference(sprnnc, artifact, tmp_path, monkeypatch):
    def no_device(*_, **__):
        raise Unavailable("E607", "no device can run this artifact: no GPU; no g++")

    monkeypatch.setattr("sprnnc.executors.open_layer", no_device)
    result = sprnnc("run", artifact)
    assert result.code == 0 and fields(result.out)["device"] == "reference"
    assert result.err == "note: this is the reference: no device can run this artifact: no GPU; no g++\n"
    assert sprnnc("run", artifact, "--device", "reference").err == ""
    assert sprnnc("run", artifact, "--device", "sim").code == 1


@pytest.mark.parametrize("device", ["plan", "reference", "sim"])
@pytest.mark.parametrize("dtype", ["fp32", "fp16"])
@pytest.mark.filterwarnings("error")
def test_what_is_not_finite_flows_without_warnings(sprnnc, device, dtype):
    text = Path("tiny.sprnn").read_text().replace("tanh(W @ x + U @ h + b)", "W @ x + exp(U @ h) + b")
    Path("tiny.sprnn").write_text(text)
    compiled = ("compile", "tiny.sprnn", "--random-weights", "0", "--target", "sim", "--dtype", dtype)
    assert sprnnc(*compiled, "-o", "a.sprnnx").code == 0
    x = np.ones((6, 1, 4))
    x[1:5, 0, 0] = [np.inf, -np.inf, np.nan, 1e300]
    np.save("x.npy", x)
    result = sprnnc("run", "a.sprnnx", "--input", "x.npy", "--device", device, "--check", "--output", "y.npy")
    assert result.err == ""
    assert np.isnan(np.load("y.npy")).any()


@pytest.mark.filterwarnings("error")
def test_errors_between_what_is_not_finite_raise_no_warnings():
    inf, nan = np.array([np.inf, 1.0]), np.array([np.nan, 1.0])
    assert relative_error(inf, inf) == relative_error(nan, nan) == 0
    assert relative_error(inf, -inf) == np.inf
    assert np.isnan(relative_error(inf, nan))


@pytest.mark.parametrize("device", ["plan", "sim"])
@pytest.mark.filterwarnings("error")
def test_arrays_beyond_float32_raise_no_warnings(artifact, device):
    big = np.full((2, 2, 4), 1e300)
    assert np.isfinite(execute(artifact, big, {"h": np.full((2, 8), 1e300)}, device=device).y).any()


def test_states_at_the_start_come_from_a_file(sprnnc, artifact, tmp_path):
    state = np.random.default_rng(0).standard_normal((2, 8)).astype(np.float32)
    np.savez(tmp_path / "s.npz", h=state)
    x = np.zeros((3, 2, 4), np.float32)
    np.save(tmp_path / "x.npy", x)
    outputs = ("--input", "x.npy", "--output", "y.npy", "--device", "reference")
    assert sprnnc("run", artifact, *outputs, "--state", "s.npz").code == 0
    loaded = Artifact.load(artifact)
    expected = execute(loaded, x, {"h": state}, device="reference").y
    np.testing.assert_allclose(np.load("y.npy"), expected, atol=1e-7)
    np.savez(tmp_path / "s.npz", h=state[:1])
    assert "state 'h' has shape [1, 8], expected [2, 8]" in sprnnc("run", artifact, "--state", "s.npz").err
    np.savez(tmp_path / "s.npz", h=np.ones((2, 8), np.int32))
    assert "error[E306]" in sprnnc("run", artifact, "--state", "s.npz").err
    assert "error[E302]" in sprnnc("run", artifact, "--state", "none.npz").err


def test_lengths_end_columns(sprnnc, artifact):
    command = ("run", artifact, "--steps", "6", "--device", "plan", "--output", "y.npy", "--check")
    assert sprnnc(*command, "--lengths", "6,2").code == 0
    y = np.load("y.npy", allow_pickle=False)
    assert y[:, 0].any() and y[1, 1].any() and not y[2:, 1].any()
    assert "expected whole numbers, as in 64,20" in sprnnc(*command, "--lengths", "6;2").err
