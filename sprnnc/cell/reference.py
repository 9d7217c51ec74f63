"""The oracle: one Cell over a sequence, in float64 NumPy, every equation as it is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sprnnc.cell.evaluate import evaluate, sparse_product
from sprnnc.cell.ir import Cell, Vector

Float64 = NDArray[np.float64]


def run_reference(
    cell: Cell,
    weights: Mapping[str, ArrayLike],
    x: ArrayLike | Mapping[str, ArrayLike],
    state: Mapping[str, ArrayLike] | None = None,
    lengths: ArrayLike | None = None,
    resets: ArrayLike | None = None,
) -> tuple[Float64, dict[str, Float64]]:
    """Runs ``cell`` over T steps of a batch of B sequences.

    ``weights`` holds every weight ``[rows, cols]`` and vector parameter ``[size]`` by name. ``x`` is
    ``[T, B, I]``, several inputs concatenated on the last axis in the order of declaration, or a
    mapping from input name to ``[T, B, size]``. ``state`` maps state names to ``[B, size]``; a missing
    state starts at zero. ``lengths`` [B]: past its length a column's y is zero and its states stay.
    ``resets`` [T, B]: where it is not zero, a column's states are zero before that step.
    Returns ``y`` ``[T, B, O]`` and the final states ``[B, size]``, new arrays,
    all float64. NaN and Inf flow through as IEEE 754 says. Raises ValueError for a missing array or
    a wrong shape.
    """
    parameters = _parameters(cell, weights)
    inputs = _inputs(cell, x)
    steps, batch = next(iter(inputs.values())).shape[:2]
    columns = _initial_state(cell, state or {}, batch)  # [size, B]: a batch of column vectors
    y = np.empty((steps, batch, cell.output_space.size), np.float64)
    ends = np.full(batch, steps) if lengths is None else np.asarray(lengths)
    for t in range(steps + cell.output_lag):
        now = min(t, steps - 1)  # after the last input nobody who runs reads one
        if resets is not None:
            anew = runs(t, ends) & (np.asarray(resets)[now] != 0)
            columns = {name: np.where(anew, 0.0, value) for name, value in columns.items()}
        environment = parameters | columns | {name: values[now].T for name, values in inputs.items()}
        output, after = _step(cell, environment)
        columns = {
            name: np.where(runs(t - cell.lag(name), ends), value, columns[name])
            for name, value in after.items()
        }
        if t >= cell.output_lag:
            y[t - cell.output_lag] = np.where(runs(t - cell.output_lag, ends), output, 0.0).T
    return y, {name: np.array(value.T, order="C") for name, value in columns.items()}


def runs(step: int, ends: NDArray[Any]) -> NDArray[np.bool_]:
    """Which columns, of lengths ``ends``, have that step."""
    running: NDArray[np.bool_] = (step >= 0) & (step < ends)
    return running


def _step(cell: Cell, environment: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """One time step: the output ``[O, B]`` and the next states."""

    def product(weight: str, operand: Any) -> Any:
        return sparse_product(environment[weight], operand)

    for equation in cell.equations:
        environment[equation.target] = evaluate(equation.value, environment, product)
    return evaluate(cell.output, environment), {s.name: environment[f"{s.name}'"] for s in cell.states}


def _parameters(cell: Cell, weights: Mapping[str, ArrayLike]) -> dict[str, Any]:
    matrices = {w.name: _shaped(w.name, weights, (w.rows.size, w.cols.size)) for w in cell.weights}
    vectors = {p.name: _shaped(p.name, weights, (p.space.size,))[:, None] for p in cell.params}
    return matrices | vectors


def _inputs(cell: Cell, x: ArrayLike | Mapping[str, ArrayLike]) -> dict[str, Float64]:
    """Each input ``[T, B, size]`` by name."""
    if isinstance(x, Mapping):
        inputs = {v.name: _named(v.name, x) for v in cell.inputs}
    else:
        inputs = _split(cell.inputs, np.asarray(x, np.float64))
    shape = next(iter(inputs.values())).shape[:2]
    for v in cell.inputs:
        if inputs[v.name].shape != (*shape, v.space.size):
            raise ValueError(f"input '{v.name}': expected [T, B, {v.space.size}], got {inputs[v.name].shape}")
    return inputs


def _split(vectors: tuple[Vector, ...], x: Float64) -> dict[str, Float64]:
    sizes = [v.space.size for v in vectors]
    if x.ndim != 3 or x.shape[2] != sum(sizes):
        raise ValueError(f"x: expected [T, B, {sum(sizes)}], got {x.shape}")
    parts = np.split(x, np.cumsum(sizes)[:-1], axis=2)
    return {v.name: part for v, part in zip(vectors, parts, strict=True)}


def _initial_state(cell: Cell, state: Mapping[str, ArrayLike], batch: int) -> dict[str, Float64]:
    unknown = state.keys() - {s.name for s in cell.states}
    if unknown:
        raise ValueError(f"cell {cell.name} has no state {sorted(unknown)}")
    columns = {}
    for s in cell.states:
        given = s.name in state
        shape = (batch, s.space.size)
        columns[s.name] = _shaped(s.name, state, shape).T if given else np.zeros(shape[::-1])
    return columns


def _shaped(name: str, arrays: Mapping[str, ArrayLike], shape: tuple[int, ...]) -> Float64:
    array = _named(name, arrays)
    if array.shape != shape:
        raise ValueError(f"'{name}': expected shape {shape}, got {array.shape}")
    return array


def _named(name: str, arrays: Mapping[str, ArrayLike]) -> Float64:
    if name not in arrays:
        raise ValueError(f"no array for '{name}'")
    return np.asarray(arrays[name], np.float64)
