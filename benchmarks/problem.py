"""Weights, inputs and expected outputs of a case: equal numbers for every system that is measured."""

from __future__ import annotations

import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from benchmarks.cases import Case
from benchmarks.cells import CellKind, Mode

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
STORAGE = {"fp32": np.dtype(np.float32), "fp16": np.dtype(np.float16), "bf16": np.dtype(ml_dtypes.bfloat16)}
# A kept weight stays far from zero, so that no storage type rounds it away and densities stay exact.
_SMALLEST_WEIGHT = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """Float32 arrays whose values the case's storage type holds exactly.

    ``recurrent`` [gates, H, H], ``bias`` [gates, H], ``x`` [T, B, H]; ``input_weights`` [gates, H, H],
    or None in mode recurrent. Gates are in the order of ``CellKind.gates``.
    """

    case: Case
    recurrent: Float32
    bias: Float32
    x: Float32
    input_weights: Float32 | None

    def tensors(self) -> dict[str, Float32]:
        """By the names of the cell's text."""
        named: dict[str, Float32] = {}
        for i, gate in enumerate(self.case.kind.gates):
            named |= {f"U{gate}": self.recurrent[i], f"b{gate}": self.bias[i]}
            if self.input_weights is not None:
                named[f"W{gate}"] = self.input_weights[i]
        return named


def draw_problem(case: Case) -> Problem:
    """Random and the same on every machine: it depends on the case's problem name alone.

    Recurrent matrices have exactly ``case.nonzeros`` entries in random places and a spectral radius
    near one half, so that every system computes a contraction and errors do not grow with T.
    """
    rng = np.random.default_rng(zlib.crc32(case.problem_name.encode()))
    gates, hidden = len(case.kind.gates), case.hidden
    recurrent = np.stack([_sparse_matrix(case, rng) for _ in range(gates)])
    bias = _rounded(rng.normal(0, 0.1, (gates, hidden)), case.dtype)
    x = _rounded(rng.standard_normal((case.steps, case.batch, hidden)), case.dtype)
    weights = None
    if case.mode is Mode.LAYER:
        drawn = rng.standard_normal((gates, hidden, hidden), np.float32)
        weights = _rounded(drawn * np.float32(hidden**-0.5), case.dtype)
    return Problem(case, recurrent, bias, x, weights)


def _sparse_matrix(case: Case, rng: np.random.Generator) -> Float32:
    hidden, count = case.hidden, case.nonzeros
    places = rng.choice(hidden * hidden, count, replace=False, shuffle=False)
    values = rng.normal(0, 0.5 / np.sqrt(max(1.0, count / hidden)), count)
    matrix = np.zeros(hidden * hidden, np.float32)
    matrix[places] = _rounded(np.copysign(np.maximum(np.abs(values), _SMALLEST_WEIGHT), values), case.dtype)
    return matrix.reshape(hidden, hidden)


def _rounded(values: NDArray[Any], dtype: str) -> Float32:
    rounded: Float32 = np.asarray(values).astype(STORAGE[dtype]).astype(np.float32)
    return rounded


def reference(problem: Problem) -> Float64:
    """y [T, B, H] from a zero state, every operation in float64."""
    case = problem.case
    hidden, gates = case.hidden, len(case.kind.gates)
    matrix = scipy.sparse.csr_array(problem.recurrent.reshape(gates * hidden, hidden).astype(np.float64))
    bias = problem.bias.astype(np.float64)[:, :, None]
    h = np.zeros((hidden, case.batch))
    c = np.zeros_like(h)
    y = np.empty((case.steps, case.batch, hidden))
    for t, x in enumerate(_inputs(problem)):
        products = (matrix @ h).reshape(gates, hidden, case.batch) + bias
        h, c = _step(case.kind, x, products, h, c)
        y[t] = h.T
    return y


def _inputs(problem: Problem) -> Float64:
    """What the gates take of the inputs: [T, gates, H, B], or [T, 1, H, B] where all take the same."""
    case = problem.case
    x = problem.x.astype(np.float64)
    if problem.input_weights is None:
        return x.transpose(0, 2, 1)[:, None]
    gates = len(case.kind.gates)
    weights = problem.input_weights.astype(np.float64).reshape(gates * case.hidden, case.hidden)
    products = x.reshape(-1, case.hidden) @ weights.T
    return products.reshape(case.steps, case.batch, gates, case.hidden).transpose(0, 2, 3, 1)


def _step(kind: CellKind, x: Float64, products: Float64, h: Float64, c: Float64) -> tuple[Float64, Float64]:
    """The next (h, c), each [H, B], from one step's ``x`` and ``products`` [gates, H, B]."""
    sums = x + products
    if kind is CellKind.GRU:
        r, z = _sigmoid(sums[0]), _sigmoid(sums[1])
        n = np.tanh(x[-1] + r * products[2])  # its input stays outside the reset
        return (1 - z) * n + z * h, c
    if kind is CellKind.RNN:
        return np.tanh(sums[0]), c
    i, f, o = (_sigmoid(sums[k]) for k in (0, 1, 3))
    c = f * c + i * np.tanh(sums[2])
    return o * np.tanh(c), c


def _sigmoid(v: Float64) -> Float64:
    result: Float64 = 1 / (1 + np.exp(-v))
    return result


def relative_error(got: NDArray[Any], expected: NDArray[Any]) -> float:
    """||got - expected|| / ||expected|| in float64; infinite where ``got`` holds a NaN or an Inf."""
    got, expected = np.asarray(got, np.float64), np.asarray(expected, np.float64)
    error = float(np.linalg.norm(got - expected) / np.linalg.norm(expected))
    return error if np.isfinite(error) else float("inf")


def save_problem(problem: Problem, expected: Float64, path: Path) -> None:
    """Writes everything but the case, whole or not at all."""
    arrays: dict[str, Any] = {
        "recurrent": _compact(problem.recurrent, problem.case.dtype),
        "bias": problem.bias,
        "x": _compact(problem.x, problem.case.dtype),
        "expected": expected,
    }
    if problem.input_weights is not None:
        arrays["input_weights"] = _compact(problem.input_weights, problem.case.dtype)
    partial = path.with_suffix(f".{os.getpid()}.partial")
    with partial.open("wb") as file:
        np.savez(file, **arrays)
    partial.replace(path)


def load_problem(case: Case, path: Path) -> tuple[Problem, Float64]:
    """The problem and its expected outputs y [T, B, H]."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    expected = arrays.pop("expected")
    single = {name: array.astype(np.float32, copy=False) for name, array in arrays.items()}
    recurrent, bias, x = single["recurrent"], single["bias"], single["x"]
    return Problem(case, recurrent, bias, x, single.get("input_weights")), expected


def _compact(array: Float32, dtype: str) -> NDArray[Any]:
    """Half the bytes where NumPy's files know the storage type."""
    return array.astype(np.float16) if dtype == "fp16" else array
