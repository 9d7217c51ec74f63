"""Exported sources on the GPU: each builds, passes its own test and equals the runtime bit for bit."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from sprnn_runtime.layer import open_layer
from sprnn_runtime.network import open_network
from test_examples_gpu import EXAMPLES, draw, target

import sprnnc
from sprnnc.export.folder import write_folder
from sprnnc.export.self_test import numbers, random_input
from sprnnc.export.source_form import source_files
from sprnnc.network_artifact import Compiled, NetworkArtifact

MODELS = sorted((EXAMPLES[0].parent / "models").glob("*.sprnn"))

pytestmark = pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc is not in PATH")


@pytest.mark.parametrize("dtype", ["fp32", "fp16"])
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_an_export_equals_the_runtime(
    path: Path, dtype: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPRNN_OWN_PRODUCTS", "1")  # as an export has them
    artifact = sprnnc.compile(path, random_weights=7, batch=3, target=target(), dtype=dtype)
    folder = tmp_path / "c"
    write_folder(folder, source_files(artifact, embed=False))
    done = subprocess.run(["make", "-C", str(folder), "check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    folder_equals_runtime(artifact, folder, draw(64, 3, artifact.manifest.input_size))


@pytest.mark.parametrize("path", MODELS, ids=lambda p: p.stem)
def test_an_export_of_a_network_equals_the_runtime(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPRNN_OWN_PRODUCTS", "1")
    artifact = sprnnc.compile(path, random_weights=7, batch=3, target=target())
    folder = tmp_path / "c"
    write_folder(folder, source_files(artifact, embed=False))
    done = subprocess.run(["make", "-C", str(folder), "check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    folder_equals_runtime(
        artifact, folder, random_input(64, 3, artifact.manifest.input_size, numbers(artifact))
    )


def folder_equals_runtime(artifact: Compiled, folder: Path, x: np.ndarray) -> None:
    x.tofile(folder / "x.bin")
    subprocess.run([f"./{artifact.manifest.name}_test", "x.bin", "y.bin"], cwd=folder, check=True)
    opened = open_network if isinstance(artifact, NetworkArtifact) else open_layer
    with opened(artifact.loaded(), "cuda") as layer:
        y, _ = layer(x)
    np.testing.assert_array_equal(np.fromfile(folder / "y.bin", np.float32).reshape(y.shape), y)
