"""The pages on models are true: their commands run in order, and so does their Python."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import sprnnc
from sprnnc.cli.main import main

DOCS = Path(__file__).parents[2] / "docs"
HIDDEN = 16


def blocks(page: str, kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", (DOCS / page).read_text(encoding="utf-8"), re.M | re.S)


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """An encoder's tensors, stored as speech.safetensors in the current folder."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    shapes = {"weight_ih": (4 * HIDDEN, 8), "weight_hh": (4 * HIDDEN, HIDDEN)}
    shapes |= {"bias_ih": (4 * HIDDEN,), "bias_hh": (4 * HIDDEN,)}
    tensors = {f"encoder.{n}_l0": rng.standard_normal(s).astype(np.float32) for n, s in shapes.items()}
    save_file(tensors, "speech.safetensors")
    return tensors


def test_commands_of_all_pages_run(model: dict[str, np.ndarray], capsys: pytest.CaptureFixture[str]) -> None:
    np.save("speech.npy", np.random.default_rng(1).standard_normal((12, 1, 8)).astype(np.float32))
    pages = ("importing.md", "pruning.md", "comparing.md")
    lines = "".join(code for page in pages for code in blocks(page, "sh")).splitlines()
    assert len(lines) == 8
    for line in lines:
        program, *arguments = shlex.split(line)
        assert program == "sprnnc"
        assert main(arguments) == 0, (line, capsys.readouterr().err)


def test_python_of_importing_runs(model: dict[str, np.ndarray]) -> None:
    class Module:
        def state_dict(self) -> dict[str, np.ndarray]:
            return model

    x = np.random.default_rng(0).standard_normal((9, 2, 8)).astype(np.float32)
    names = {"sprnnc": sprnnc, "module": Module(), "x": x}
    for code in blocks("importing.md", "python"):
        exec(code, names)
    assert names["artifact"].model.cell.name == "LSTM"
    assert names["y"].shape == (9, 2, HIDDEN) and not names["y"][4:, 1].any()


def test_python_of_pruning_runs() -> None:
    torch = pytest.importorskip("torch")
    model = torch.nn.LSTM(4, HIDDEN)
    names = {
        "model": model,
        "optimizer": torch.optim.SGD(model.parameters(), 0.1),
        "loss": lambda model, batch: model(batch)[0].square().mean(),
        "data": [torch.randn(3, 1, 4) for _ in range(3)],
    }
    (code,) = blocks("pruning.md", "python")
    exec(code, names)
    assert names["pruner"].now == 3
