"""The training script, tiny, on the CPU. Needs PyTorch."""

from __future__ import annotations

import json
import shutil
import sysconfig
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from examples.charlm import train
from examples.charlm.model import CharModel
from examples.charlm.network import hidden_of_equal_count, parameter_count
from examples.charlm.training import Recipe, dropout_of, rate_at, schedule_of

HELD_OUT = "contextlib.py"


@pytest.fixture
def text(tmp_path: Path) -> Path:
    folder = tmp_path / "text"
    folder.mkdir()
    for name in (HELD_OUT, "argparse.py", "ast.py"):
        shutil.copy(Path(sysconfig.get_paths()["stdlib"]) / name, folder)
    return folder


def test_one_command_does_everything(text: Path, tmp_path: Path) -> None:
    torch.set_num_threads(1)  # beside other tests, more would wait for each other
    output, saved = tmp_path / "out.json", tmp_path / "model"
    options = f"--text {text} --hidden 32 --densities 0.2 0.1 --steps 24 --batches 2 --time-limit 300"
    train.main([*options.split(), "--commit", "abc", "--output", str(output), "--save", str(saved)])
    results = json.loads(output.read_text())
    assert (results["commit"], results["plan"]["steps"], results["corpus"]["heldout_files"]) == ("abc", 24, 1)
    models = results["models"]
    assert list(models) == ["pruned-0.2", "dense", "pruned-0.1", "dense-equal"]
    for model in models.values():
        assert (model["complete"], model["steps"]) == (True, 24)
        assert model["bits_per_character"] < np.log2(97)
    for name, density in (("pruned-0.2", 0.2), ("dense", 1), ("pruned-0.1", 0.1), ("dense-equal", 1)):
        assert models[name]["density"] == pytest.approx(density, rel=0.01)
    assert models["dense-equal"]["nonzeros"] >= models["pruned-0.2"]["nonzeros"]
    assert (
        models["dense"]["dropout"] == 0.2 > models["pruned-0.2"]["dropout"] > models["pruned-0.1"]["dropout"]
    )
    for name in ("pruned-0.2", "pruned-0.1"):
        (kernel,) = models[name]["kernels"]
        assert kernel["device"] == "sim" and kernel["relative_error"] < 1e-5
        assert kernel["bits_per_character"] == pytest.approx(kernel["bits_per_character_reference"], rel=1e-5)
    about = CharModel.load(saved).about
    assert about["bits_per_character"]["dense"]["heldout"] == models["dense"]["bits_per_character"]
    assert len((saved / "heldout.txt").read_text()) == 2400


def test_the_small_dense_network_has_no_fewer_nonzeros() -> None:
    for hidden, density in ((1024, 0.1), (416, 0.05)):
        equal = hidden_of_equal_count(hidden, density)
        assert parameter_count(equal - 8) < parameter_count(hidden, density) <= parameter_count(equal)


@pytest.mark.parametrize("steps", [2, 9, 1000])
def test_masks_are_complete_in_the_first_half(steps: int) -> None:
    schedule = schedule_of(steps, 0.1, Recipe(1, 1))
    due = [step for step in range(steps) if schedule.is_due(step)]
    assert due[-1] <= steps / 2
    assert schedule.sparsity(due[-1]) == pytest.approx(0.9)


def test_dropout_shrinks_with_the_root_of_what_is_left() -> None:
    assert dropout_of(0.2, 400, 400) == 0.2
    assert dropout_of(0.2, 100, 400) == pytest.approx(0.1)


def test_the_rate_warms_up_stays_and_falls() -> None:
    recipe = Recipe(1, 1, rate=1.0, warmup=10)
    assert [rate_at(recipe, taken, 0.0) for taken in (0, 4, 9, 100)] == [0.1, 0.5, 1.0, 1.0]
    assert [rate_at(recipe, 100, done) for done in (0.5, 0.75, 1.0)] == [1.0, 0.5, 0.05]
