"""The test vector inside an export: inputs that C draws too, and the outputs of the float64 reference."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sprnnc.artifact import Artifact
from sprnnc.cell.ir import DType
from sprnnc.cell.reference import run_reference
from sprnnc.export.model import SelfTest

SEED, MULTIPLIER, INCREMENT = 12345, 1664525, 1013904223  # of Numerical Recipes
_MOST_STEPS, _FEWEST_STEPS, _MOST_VALUES = 16, 2, 8192
_VALUES_A_LINE = 8


def self_test(artifact: Artifact) -> SelfTest:
    """A test of as many steps as keep the expected outputs readable. Its states begin as zeros."""
    y = expected_output(artifact)
    values = [_literal(v) for v in y.ravel().tolist()]
    return SelfTest(
        steps=len(y),
        tolerance=1e-5 if artifact.plan.dtype is DType.FP32 else 1e-2,
        seed=SEED,
        multiplier=MULTIPLIER,
        increment=INCREMENT,
        expected=tuple(
            "  " + " ".join(f"{v}," for v in values[i : i + _VALUES_A_LINE])
            for i in range(0, len(values), _VALUES_A_LINE)
        ),
    )


def expected_output(artifact: Artifact) -> NDArray[np.float32]:
    """What the float64 reference gives for ``random_input``: [steps, batch, output size]."""
    manifest = artifact.manifest
    row = manifest.batch * manifest.output_size
    steps = max(_FEWEST_STEPS, min(_MOST_STEPS, _MOST_VALUES // row))
    x = random_input(steps, manifest.batch, manifest.input_size)
    with np.errstate(all="ignore"):  # weights may be such that outputs overflow, on purpose
        return run_reference(artifact.model.cell, artifact.tensors, x)[0].astype(np.float32)


def random_input(steps: int, batch: int, size: int) -> NDArray[np.float32]:
    """Float32 [steps, batch, size], uniform in [-1, 1): bit for bit what the exported ``main`` draws."""
    count = steps * batch * size
    words, word = np.empty(count, np.uint32), SEED
    for i in range(count):
        word = (word * MULTIPLIER + INCREMENT) & 0xFFFFFFFF
        words[i] = word
    values = (words >> 8).astype(np.float32) / np.float32(1 << 23) - np.float32(1)
    return values.reshape(steps, batch, size)


def _literal(value: float) -> str:
    """A float32 as C."""
    if math.isnan(value):
        return "NAN"
    if math.isinf(value):
        return "INFINITY" if value > 0 else "-INFINITY"
    text = f"{value:.9g}"
    return f"{text}f" if any(c in text for c in ".e") else f"{text}.0f"
