"""Runs an imported cell beside its origin: a gate in the wrong place does not get past this."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from sprnnc.cell.ir import Cell
from sprnnc.cell.reference import run_reference
from sprnnc.cell.weights import expected_shapes, validate_weights
from sprnnc.diagnostics import fail
from sprnnc.importing.layer import Float64, Origin
from sprnnc.language.check import check
from sprnnc.language.parse import parse
from sprnnc.sparsity.weight_files import check_tensors

STEPS, BATCH = 12, 2
# Tensors are rounded to float32, and biases once more after they are added; all else is float64.
BOUND = 1e-5


def agreement(
    source: str, tensors: Mapping[str, NDArray[np.float32]], origin: Origin, reverse: bool, name: str
) -> float:
    """||y - origin|| / ||origin|| over 12 steps of random input from random states, both in float64.

    Where the origin gives nothing but zeros, as a relu without a positive sum does, it is ||y|| and says
    little. ``source`` and ``tensors`` are checked as the compiler does. Raises CompileError E310 for NaN and
    Inf, and E706 where the error is above 1e-5.
    """
    model = check(parse(source, name), source=source, filename=name)
    _check_finite(tensors, name)
    validate_weights(model.cell, check_tensors(tensors, expected_shapes(model.cell)))
    x, state = _random_input(model.cell)
    y, _ = run_reference(model.cell, tensors, x[::-1] if reverse else x, state)
    expected = origin.run(x, state)
    error = relative(y[::-1] if reverse else y, expected)
    if not error <= BOUND:  # NaN is a disagreement too
        raise fail(
            "E706",
            f"{name} does not agree with {origin.description}: error {error:.3g}, not below {BOUND:g}",
            help="nothing was written; weights beyond what float32 holds can cause it, else report it",
        )
    return error


def _check_finite(tensors: Mapping[str, NDArray[np.float32]], name: str) -> None:
    """Raises CompileError E310: an agreement on NaN says nothing."""
    for tensor, values in tensors.items():
        if bad := int((~np.isfinite(values)).sum()):
            raise fail(
                "E310",
                f"{name}: tensor '{tensor}' has {bad} values that are NaN, infinite, or beyond float32",
                help="nothing was written; mend the training run",
            )


def _random_input(cell: Cell) -> tuple[Float64, dict[str, Float64]]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((STEPS, BATCH, sum(v.space.size for v in cell.inputs)))
    return x, {s.name: rng.standard_normal((BATCH, s.space.size)) for s in cell.states}


def relative(y: Float64, expected: Float64) -> float:
    """||y - expected|| / ||expected||; ||y|| where that is zero."""
    norm = float(np.linalg.norm(expected))
    apart = float(np.linalg.norm(y - expected))
    return apart / norm if norm else apart
