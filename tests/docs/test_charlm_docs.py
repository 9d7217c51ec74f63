"""The page on the language model is true: its commands run in order, on less text."""

from __future__ import annotations

import json
import re
import shlex
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "charlm.md").read_text(encoding="utf-8")
COMMANDS = "".join(re.findall(r"^```sh\n(.*?)^```", PAGE, re.M | re.S)).splitlines()


def run(line: str) -> None:
    program, flag, module, *arguments = shlex.split(line)
    assert (program, flag) == ("python", "-m")
    import_module(module).main(arguments)


def test_the_demo_goes_on_from_a_prompt(model_of_the_demo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(COMMANDS[0])
    assert capsys.readouterr().out.count("\n  import ") >= 2


def test_training_and_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)  # beside other tests, more would wait for each other
    from examples.charlm import train
    from examples.charlm.corpus import Corpus

    text = np.random.default_rng(0).integers(1, 97, 40_000).astype(np.uint8)
    monkeypatch.setattr(train, "read_corpus", lambda folder: Corpus(text, text[:5000], 2, 1, "3"))
    monkeypatch.chdir(tmp_path)
    for line in COMMANDS[1:]:
        run(line)
    assert json.loads(Path("charlm.json").read_text())["plan"]["steps"] == 8
    assert "| pruned to 10%, H=32 |" in Path("charlm.md").read_text()


def test_the_page_counts_the_symbols() -> None:
    from examples.charlm.corpus import ALPHABET

    assert f"each of {len(ALPHABET)} symbols" in PAGE
