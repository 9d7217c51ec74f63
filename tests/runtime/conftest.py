"""One small compiled layer, shared by all tests of the runtime."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_layer import BATCH, STEPS, compile_lstm

import sprnnc


@pytest.fixture(scope="session")
def artifact() -> sprnnc.Artifact:
    return compile_lstm()


@pytest.fixture(scope="session")
def without_sim_code(artifact: sprnnc.Artifact) -> sprnnc.Artifact:
    """The same with a kernel that fails the test as soon as anybody tries to build it."""
    return replace(artifact, kernel_source="#error built although it must not be\n")


@pytest.fixture(scope="session")
def path(artifact: sprnnc.Artifact, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return artifact.save(tmp_path_factory.mktemp("artifact") / "layer.sprnnx")


@pytest.fixture(scope="session")
def x(artifact: sprnnc.Artifact) -> np.ndarray:
    shape = (STEPS, BATCH, artifact.manifest.input_size)
    return np.random.default_rng(7).standard_normal(shape).astype(np.float32)
