"""Exports build with nvcc alone, every warning an error, for each architecture, with no GPU."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from fake_build import EXAMPLES, WITHOUT_PRODUCTS

import sprnnc
from sprnnc.export.folder import write_folder
from sprnnc.export.source_form import source_files
from sprnnc.network_artifact import Compiled

pytestmark = pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc is not in PATH")

CASES = [
    ("sm_80", "gru_reset_before", "fp16", False),
    ("sm_90", "lstm", "fp32", False),
    ("sm_90", "lstm_projection", "bf16", True),
    ("sm_100", "slstm", "fp16", False),
]


@pytest.mark.parametrize(("target", "cell", "dtype", "embed"), CASES, ids=lambda v: str(v))
def test_make_builds_the_program(target: str, cell: str, dtype: str, embed: bool, tmp_path: Path) -> None:
    artifact = sprnnc.compile(
        EXAMPLES / f"{cell}.sprnn", random_weights=0, batch=2, target=target, dtype=dtype
    )
    printed = make(artifact, tmp_path / "c", embed)
    assert "-Werror all-warnings" in printed and f"-arch={target}" in printed


def test_make_builds_a_cell_without_products(tmp_path: Path) -> None:
    make(sprnnc.compile(WITHOUT_PRODUCTS, random_weights=0, target="sm_90"), tmp_path / "c", embed=False)


@pytest.mark.parametrize(("target", "embed"), [("sm_80", False), ("sm_90", True), ("sm_100", False)])
def test_make_builds_a_network(target: str, embed: bool, tmp_path: Path) -> None:
    network = sprnnc.compile(EXAMPLES / "models/tagger.sprnn", random_weights=0, batch=2, target=target)
    assert f"-arch={target}" in make(network, tmp_path / "c", embed)


def make(artifact: Compiled, folder: Path, embed: bool) -> str:
    """What ``make`` prints where it builds an export."""
    write_folder(folder, source_files(artifact, embed=embed))
    done = subprocess.run(["make", "-C", str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (folder / f"{artifact.manifest.name}_test").exists()
    return done.stdout


def test_the_header_is_c_and_c_plus_plus(tmp_path: Path) -> None:
    artifact = sprnnc.compile(EXAMPLES / "lstm.sprnn", random_weights=0, target="sm_90")
    files = source_files(artifact, embed=False)
    (tmp_path / "lstm.h").write_bytes(files["lstm.h"])
    fake = Path(__file__).parent / "fake_cuda"
    (tmp_path / "use.c").write_text('#include "lstm.h"\nint main(void) { return lstm_OK; }\n')
    warnings = ["-Wall", "-Wextra", "-Werror", "-pedantic", f"-I{fake}"]
    for compiler in (["gcc", "-std=c99"], ["g++", "-x", "c++", "-std=c++11"]):
        command = [*compiler, *warnings, "use.c", "-o", "use"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@pytest.mark.skipif(shutil.which("cmake") is None, reason="cmake is not in PATH")
def test_cmake_builds_the_program(tmp_path: Path) -> None:
    artifact = sprnnc.compile(EXAMPLES / "lstm.sprnn", random_weights=0, target="sm_90")
    write_folder(tmp_path / "c", source_files(artifact, embed=False))
    nvcc = shutil.which("nvcc")
    for command in (["cmake", "-B", "build", f"-DCMAKE_CUDA_COMPILER={nvcc}"], ["cmake", "--build", "build"]):
        done = subprocess.run(command, cwd=tmp_path / "c", capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "c/build/lstm_test").exists()
