"""The wheel: everything a compile needs is in it, and nothing is read from the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAIN = "from sprnnc.cli.main import main; raise SystemExit(main())"
SOURCES = ("sprnnc", "grammar", "templates", "runtime", "pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy: a build leaves folders beside its sources."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        source = ROOT / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, folder / name)
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        "out",
        ".",
    ]
    subprocess.run(build, cwd=folder, check=True, capture_output=True)
    (built,) = (folder / "out").glob("*.whl")
    return built


def test_the_wheel_holds_every_source_and_data_file(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    expected = set()
    for source, package in (
        ("sprnnc", "sprnnc"),
        ("grammar", "sprnnc/grammar"),
        ("templates", "sprnnc/templates"),
        ("runtime/sprnn_runtime", "sprnn_runtime"),
    ):
        for path in (ROOT / source).rglob("*"):
            if path.suffix in {".py", ".lark", ".j2", ".cuh", ".hpp", ".typed"}:
                expected.add(f"{package}/{path.relative_to(ROOT / source)}")
    assert expected - inside == set()
    assert {f"sprnnc/grammar/{p.name}" for p in (ROOT / "grammar").glob("*.lark")} <= expected


def test_an_installed_wheel_compiles_and_checks_from_another_folder(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    work = tmp_path / "work"
    work.mkdir()
    shutil.copy(ROOT / "examples" / "elman_tanh.sprnn", work)
    environment = {**os.environ, "PYTHONPATH": str(site), "SPRNNC_CACHE": str(tmp_path / "cache")}

    def sprnnc(*arguments: str) -> str:
        command = [sys.executable, "-c", MAIN, *arguments]
        done = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, check=True)
        return done.stdout

    where = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sprnnc, sprnn_runtime; print(sprnnc.__file__, sprnn_runtime.__file__)",
        ],
        cwd=work,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert all(Path(p).is_relative_to(site) for p in where.split())
    sprnnc("compile", "elman_tanh.sprnn", "--random-weights", "0", "--target", "sim", "-o", "cell.sprnnx")
    assert "within 1e-05" in sprnnc("run", "cell.sprnnx", "--device", "sim", "--steps", "4", "--check")
