"""One small compiled network, shared by all tests of this folder."""

from __future__ import annotations

import numpy as np
import pytest
from small_network import BATCH, STEPS, compile_small

import sprnnc


@pytest.fixture(scope="session")
def artifact() -> sprnnc.NetworkArtifact:
    return compile_small()


@pytest.fixture(scope="session")
def x() -> np.ndarray:
    return np.random.default_rng(7).standard_normal((STEPS, BATCH, 5)).astype(np.float32)
