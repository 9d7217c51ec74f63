"""Docs are true: every command shown in them runs, and what they say is printed is printed."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sprnnc.cli.main import main
from sprnnc.language.parse import parse

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = sorted([ROOT / "README.md", ROOT / "ARCHITECTURE.md", *(ROOT / "docs").glob("*.md")])


def blocks(text: str, kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", text, re.M | re.S)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with the examples in it, and in it we are."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_readme_commands_run_and_print_what_it_shows(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = ""
    for line in "".join(blocks(README, "sh")).splitlines():
        program, *arguments = shlex.split(line)
        assert program == "sprnnc"
        assert main(arguments) == 0, line
        printed += capsys.readouterr().out
    shown = blocks(README, "text")[0].splitlines()
    for line in shown:
        if not line.startswith(("seconds", "error", "y ")):
            assert line in printed
    assert re.search(r"error    1\.\d+e-07 against the reference, within 1e-05", printed)


def test_export_commands_run(folder: Path) -> None:
    for line in "".join(blocks((ROOT / "docs/export.md").read_text(encoding="utf-8"), "sh")).splitlines():
        program, *arguments = shlex.split(line)
        assert program == "sprnnc"
        assert main(arguments) == 0, line


def test_devices_commands_run_and_predict_the_link(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for line in "".join(blocks((ROOT / "docs/devices.md").read_text(encoding="utf-8"), "sh")).splitlines():
        program, *arguments = shlex.split(line)
        assert program == "sprnnc"
        assert main(arguments) == 0, line
    printed = capsys.readouterr().out
    assert "devices           2         (yours)" in printed
    assert re.search(r"^  link +0\.6", printed, re.M) and "over links" in printed


def test_running_commands_and_python_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = (ROOT / "docs/running.md").read_text(encoding="utf-8")
    for line in "".join(blocks(page, "sh")).splitlines():
        program, *arguments = shlex.split(line)
        assert program == "sprnnc"
        assert main(arguments) == 0, line
    printed = capsys.readouterr().out.splitlines()
    for line in "".join(blocks(page, "text")).splitlines():
        assert line in printed
    exec("".join(blocks(page, "python")), {})


def test_export_page_names_real_functions(folder: Path) -> None:
    assert main("compile examples/lstm.sprnn --random-weights 1 -o lstm.sprnnx".split()) == 0
    assert main("export lstm.sprnnx -o c".split()) == 0
    header = Path("c/lstm.h").read_text(encoding="utf-8")
    page = (ROOT / "docs/export.md").read_text(encoding="utf-8")
    for name in set(re.findall(r"\blstm_(?!c\b|embedded\b|cubin\b)\w+", page)):
        assert name in header, name


def test_readme_python_runs(folder: Path) -> None:
    exec("".join(blocks(README, "python")), {})


def test_runtime_python_runs(folder: Path) -> None:
    assert main("compile examples/lstm.sprnn --random-weights 1 --target sim -o lstm.sprnnx".split()) == 0
    exec("".join(blocks((ROOT / "docs/runtime.md").read_text(encoding="utf-8"), "python")), {})


def test_readme_error_is_what_is_printed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = blocks(README, "text")[1]
    equation = shown.splitlines()[1].split("|")[1].strip()
    Path("broken.sprnn").write_text(
        "cell Elman(I, H) {\n  input  x[I]\n  state  h[H]\n  weight W[H, I]\n  weight U[H, H]\n\n"
        f"  {equation}\n  output h'\n}}\n"
    )
    assert main(["check", "broken.sprnn", "--size", "H=64", "--size", "I=16"]) == 1
    assert shown.strip() in capsys.readouterr().err


def test_readme_cell_is_the_example() -> None:
    cell = README.split("# lstm.sprnn\n")[1].split("```")[0]
    example = (ROOT / "examples/lstm.sprnn").read_text(encoding="utf-8")
    assert cell.strip() in example


def test_demo_runs(folder: Path) -> None:
    command = [sys.executable, "-m", "examples.charlm.demo", "--characters", "20"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    now, reference = re.search(
        r"([\d.]+)   by the kernel, just now \(float64: ([\d.]+)\)", done.stdout
    ).groups()
    assert now == reference
    about = json.loads((ROOT / "examples/charlm/model/about.json").read_text(encoding="utf-8"))
    when_trained = about["bits_per_character"]["pruned"]["snippet"]
    assert float(now) == pytest.approx(when_trained, rel=2e-3)  # weights were rounded to fp16 since
    assert done.stdout.count("def __init__(") >= 4  # a prompt for each column


def test_the_readme_says_how_well_the_demo_reads() -> None:
    about = json.loads((ROOT / "examples/charlm/model/about.json").read_text(encoding="utf-8"))
    bits = {name: value["heldout"] for name, value in about["bits_per_character"].items()}
    text = " ".join(README.split())
    assert f"keeps {about['density']:.0%} of its recurrent weights" in text
    assert f"at {bits['pruned']:.2f} bits a character; the dense one takes {bits['dense']:.2f}." in text


def test_demo_says_what_it_needs(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "examples.charlm.demo"]
    nothing = {"PATH": str(tmp_path), "HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    env = nothing | {"CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 1
    assert "g++" in done.stderr and "Traceback" not in done.stderr


def test_every_decision_is_documented() -> None:
    from sprnnc.schedule.choices import Choices

    text = next(b for b in blocks((ROOT / "docs/language.md").read_text(), "") if b.startswith("schedule"))
    assert set(re.findall(r"^  (\w+) =", text, re.M)) == set(Choices.__slots__)
    parse(text)


def test_every_decision_of_a_network_is_documented() -> None:
    from sprnnc.cell.network import DECISIONS
    from sprnnc.schedule.network_parts import Kernels
    from sprnnc.schedule.network_plan import AtOnce

    text = (ROOT / "docs/language.md").read_text(encoding="utf-8")
    section = text.split("### Decisions of a network\n")[1].split("\n## ")[0]
    said = {tuple(entry) for entry in re.findall(r"^\| `(\w+) = (\w+)` \|", section, re.M)}
    wanted = {"kernels": Kernels, "at_once": AtOnce}
    assert set(wanted) == set(DECISIONS)
    assert said == {(name, kind.value) for name, kinds in wanted.items() for kind in kinds}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_and_paths_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        assert (page.parent / link).exists(), link
    for path in re.findall(r"`((?:benchmarks|docs|examples|runtime|templates|grammar)/[\w./]*)`", text):
        assert (ROOT / path).exists(), path


def test_architecture_names_real_files() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    for path in re.findall(r"`([\w/]+\.py)`", text):
        assert (ROOT / "sprnnc" / path).exists() or (ROOT / path).exists(), path
    for path in re.findall(r"`(device/\w+\.cuh)`", text):
        assert (ROOT / "runtime/sprnn_runtime" / path).exists(), path
