"""One small LSTM for a GPU, exported, and built against a CUDA runtime that runs kernels in the simulator."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from fake_build import build, compile_cell

import sprnnc
from sprnnc.export.folder import write_folder
from sprnnc.export.source_form import source_files


@pytest.fixture(scope="session")
def artifact() -> sprnnc.Artifact:
    """In chunks of 5 steps, so that the built-in test takes several."""
    return compile_cell("lstm", steps_per_launch=5)


@pytest.fixture(scope="session")
def exported(artifact: sprnnc.Artifact, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of form cu, as exported, with the test program ``./t`` for the CPU in it."""
    folder = tmp_path_factory.mktemp("export") / "lstm"
    write_folder(folder, source_files(artifact, embed=False))
    build(folder, "lstm.cu", "main.cu")
    return folder


@pytest.fixture
def folder(exported: Path, tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    return Path(shutil.copytree(exported, tmp_path / "lstm"))
