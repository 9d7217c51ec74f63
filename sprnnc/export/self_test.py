"""The test vector inside an export: inputs that C draws too, and the outputs of the float64 reference."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sprnnc.artifact import Artifact
from sprnnc.cell.network_reference import run_network_reference
from sprnnc.cell.reference import run_reference
from sprnnc.export.model import SelfTest
from sprnnc.network_artifact import Compiled

SEED, MULTIPLIER, INCREMENT = 12345, 1664525, 1013904223  # of Numerical Recipes
_MOST_STEPS, _FEWEST_STEPS, _MOST_VALUES = 16, 2, 8192
_VALUES_A_LINE = 8


def self_test(artifact: Compiled) -> SelfTest:
    """A test of as many steps as keep the expected outputs readable. Its states begin as zeros."""
    most = numbers(artifact)
    y = expected_output(artifact)
    values = [_literal(v) for v in y.ravel().tolist()]
    return SelfTest(
        steps=len(y),
        tolerance=1e-5 if artifact.manifest.dtype == "fp32" else 1e-2,
        seed=SEED,
        multiplier=MULTIPLIER,
        increment=INCREMENT,
        value=f"(float)((word >> 8) % {most}u)" if most else "(float)(word >> 8) / 8388608.0f - 1.0f",
        range=f"Whole numbers below {most}" if most else "Uniform in [-1, 1)",
        pattern=f"(float)(i % {most})" if most else "(float)(i % 17) / 8.0f - 1.0f",
        expected=tuple(
            "  " + " ".join(f"{v}," for v in values[i : i + _VALUES_A_LINE])
            for i in range(0, len(values), _VALUES_A_LINE)
        ),
    )


def numbers(artifact: Compiled) -> int:
    """Below which the inputs are whole numbers, which choose rows of tables; 0 where they are not."""
    if isinstance(artifact, Artifact):
        return 0
    return min((e.rows for e in artifact.network.embeddings), default=0)


def expected_output(artifact: Compiled) -> NDArray[np.float32]:
    """What the float64 reference gives for ``random_input``: [steps, batch, output size]."""
    manifest = artifact.manifest
    row = manifest.batch * manifest.output_size
    steps = max(_FEWEST_STEPS, min(_MOST_STEPS, _MOST_VALUES // row))
    x = random_input(steps, manifest.batch, manifest.input_size, numbers(artifact))
    with np.errstate(all="ignore"):  # weights may be such that outputs overflow, on purpose
        return _reference(artifact, x).astype(np.float32)


def _reference(artifact: Compiled, x: NDArray[np.float32]) -> NDArray[np.float64]:
    if isinstance(artifact, Artifact):
        return run_reference(artifact.model.cell, artifact.tensors, x)[0]
    tensors = {name: part.tensors for name, part in artifact.parts.items()}
    tables = {name: {"table": table} for name, table in artifact.tables.items()}
    return run_network_reference(artifact.network, tensors | tables, x)[0]


def random_input(steps: int, batch: int, size: int, most: int = 0) -> NDArray[np.float32]:
    """Float32 [steps, batch, size], bit for bit what the exported ``main`` draws: uniform in [-1, 1), or
    whole numbers below ``most``, where it is not 0."""
    count = steps * batch * size
    words, word = np.empty(count, np.uint32), SEED
    for i in range(count):
        word = (word * MULTIPLIER + INCREMENT) & 0xFFFFFFFF
        words[i] = word
    words >>= 8
    if most:
        return (words % most).astype(np.float32).reshape(steps, batch, size)
    values = words.astype(np.float32) / np.float32(1 << 23) - np.float32(1)
    return values.reshape(steps, batch, size)


def _literal(value: float) -> str:
    """A float32 as C."""
    if math.isnan(value):
        return "NAN"
    if math.isinf(value):
        return "INFINITY" if value > 0 else "-INFINITY"
    text = f"{value:.9g}"
    return f"{text}f" if any(c in text for c in ".e") else f"{text}.0f"
