"""``sprnnc compile``."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from sprnnc.artifact import Artifact

RANDOM = ("compile", "tiny.sprnn", "--random-weights", "0", "--target", "sim")


def left_behind() -> list[str]:
    """What the current folder holds beside the source."""
    return sorted(p.name for p in Path().iterdir() if p.name != "tiny.sprnn")


def save_weights(**changed: np.ndarray) -> None:
    """Writes w.npz with all tensors of tiny.sprnn; U has two non-zeros a row, as declared."""
    u = np.zeros((8, 8), np.float32)
    u[:, :2] = 0.5
    tensors = {"W": np.ones((8, 4), np.float32), "U": u, "b": np.zeros(8, np.float32)}
    np.savez("w.npz", **{**tensors, **changed})


def test_the_artifact_is_called_after_the_model(sprnnc):
    result = sprnnc(*RANDOM)
    assert result.code == 0
    assert left_behind() == ["tiny.sprnnx"]
    size = Path("tiny.sprnnx").stat().st_size
    assert result.out == f"wrote tiny.sprnnx: Elman for sim, fp32, batch 1, {size} bytes\n"
    assert result.err == ""


def test_options_reach_the_compiler(sprnnc):
    options = ("--batch", "3", "--size", "H=12", "--dtype", "fp16", "--set", "exchange=barrier")
    assert sprnnc(*RANDOM, *options, "--set", "blocks=2", "-o", "out.sprnnx").code == 0
    made = Artifact.load("out.sprnnx")
    assert (made.plan.batch, made.plan.dtype.value) == (3, "fp16")
    assert made.tensors["U"].shape == (12, 12)
    assert (made.plan.choices.exchange.value.value, made.plan.choices.blocks.value) == ("barrier", 2)


def test_the_same_seed_gives_the_same_bytes(sprnnc):
    sprnnc(*RANDOM, "-o", "a.sprnnx")
    sprnnc(*RANDOM, "-o", "b.sprnnx")
    assert Path("a.sprnnx").read_bytes() == Path("b.sprnnx").read_bytes()


def test_the_default_target_builds_a_cubin(sprnnc):
    assert sprnnc("compile", "tiny.sprnn", "--random-weights", "0", "--emit", "cubin").code == 0
    assert left_behind() == ["tiny.cubin"]
    assert Path("tiny.cubin").read_bytes().startswith(b"\x7fELF")


def test_emit_cuda_writes_the_kernels_source(sprnnc):
    assert sprnnc(*RANDOM, "--emit", "cuda").code == 0
    assert left_behind() == ["tiny.cu"]
    assert "__global__" in Path("tiny.cu").read_text()


def test_emit_plan_to_stdout_writes_no_file(sprnnc):
    result = sprnnc(*RANDOM, "--emit", "plan", "-o", "-")
    assert result.out.startswith("plan for sim: fp32, batch 1")
    assert left_behind() == []


def test_sim_has_no_cubin(sprnnc):
    result = sprnnc(*RANDOM, "--emit", "cubin")
    assert result.code == 1
    assert "error[E505]: target sim has no cubin" in result.err
    assert left_behind() == []


def test_dump_ir_writes_every_stage(sprnnc):
    assert sprnnc(*RANDOM, "--dump-ir", "ir").code == 0
    assert "cell Elman(I, H)" in Path("ir/02_check.txt").read_text()


def test_weights_from_a_file(sprnnc):
    save_weights()
    assert sprnnc("compile", "tiny.sprnn", "--weights", "w.npz", "--target", "sim").code == 0
    assert (Artifact.load("tiny.sprnnx").tensors["W"] == 1).all()


def test_nan_is_refused_unless_allowed(sprnnc):
    save_weights(b=np.full(8, np.nan, np.float32))
    command = ("compile", "tiny.sprnn", "--weights", "w.npz", "--target", "sim")
    refused = sprnnc(*command)
    assert refused.code == 1
    assert "error[E310]: tensor 'b' has 8 values" in refused.err
    assert "--allow-nan" in refused.err
    assert left_behind() == ["w.npz"]
    assert sprnnc(*command, "--allow-nan").code == 0


@pytest.mark.parametrize("weights", [(), ("--weights", "w.npz", "--random-weights", "0")])
def test_weights_come_from_exactly_one_place(sprnnc, weights):
    result = sprnnc("compile", "tiny.sprnn", "--target", "sim", *weights)
    assert result.code == 1
    assert "error[E301]" in result.err
    assert left_behind() == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--target", "sm_91"), "error[E401]: unknown target 'sm_91'\nhelp: did you mean 'sm_90'?"),
        (("--batch", "0"), "error[E405]: batch 0 cannot be"),
        (("--batch", "-2"), "error[E405]: batch -2 cannot be"),
        (("--size", "H=-1"), "error[E211]: size H = -1"),
        (("--set", "exchnge=barrier"), "unknown decision 'exchnge'\nhelp: did you mean 'exchange'?"),
        (("--set", "exchange=pigeon"), "exchange = 'pigeon': expected lamport or barrier"),
        (("--set", "threads=33"), "threads = 33 cannot be: expected a multiple of 32"),
        (("--set", "blocks=many"), "blocks = 'many': expected an integer"),
    ],
)
def test_values_that_cannot_be_leave_no_file(sprnnc, options, message):
    result = sprnnc(*RANDOM, *options)
    assert result.code == 1
    assert message in result.err
    assert left_behind() == []


def test_a_missing_weight_file_is_refused(sprnnc):
    result = sprnnc("compile", "tiny.sprnn", "--weights", "nowhere.npz", "--target", "sim")
    assert result.code == 1
    assert "nowhere.npz" in result.err


def test_an_output_folder_that_is_not_there_leaves_nothing(sprnnc):
    result = sprnnc(*RANDOM, "-o", "no/such/out.sprnnx")
    assert result.code == 1
    assert "error[E605]: cannot write no/such/out.sprnnx" in result.err
    assert left_behind() == []


def test_an_output_that_cannot_be_replaced_leaves_nothing(sprnnc):
    """Holds for root too, whom permissions do not stop."""
    Path("taken").mkdir()
    result = sprnnc(*RANDOM, "-o", "taken")
    assert result.code == 1
    assert "error[E605]: cannot write taken" in result.err
    assert left_behind() == ["taken"]


def test_dumps_of_an_earlier_run_do_not_stay(sprnnc):
    assert sprnnc(*RANDOM, "--dump-ir", "ir").code == 0
    Path("ir/01_notes.txt").write_text("the user's own")
    Path("bad.sprnn").write_text("cell {")
    assert sprnnc("compile", "bad.sprnn", "--random-weights", "0", "--dump-ir", "ir").code == 1
    assert [p.name for p in Path("ir").iterdir()] == ["01_notes.txt"]


def test_a_dump_is_written_whole_or_not_at_all(sprnnc, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    result = sprnnc(*RANDOM, "--dump-ir", "ir")
    assert result.code == 1 and "error[E502]: cannot write ir/01_parse.txt" in result.err
    assert not list(Path("ir").iterdir())
