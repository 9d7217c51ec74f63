"""Random state_dicts, and PyTorch's documented equations in plain NumPy, one sequence of steps at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sprnnc.cell.reference import run_reference
from sprnnc.importing import ImportedLayer, run_stack
from sprnnc.language.check import check
from sprnnc.language.parse import parse

GATES = {"LSTM": 4, "GRU": 3, "tanh": 1, "relu": 1}
State = dict[str, NDArray[Any]]


def random_state(
    kind: str,
    inputs: int,
    hidden: int,
    *,
    layers: int = 1,
    both: bool = False,
    bias: bool = True,
    projection: int = 0,
    prefix: str = "",
    seed: int = 0,
) -> State:
    """float32 tensors with the names and shapes of PyTorch's modules."""
    rng = np.random.default_rng(seed)
    rows, out = GATES[kind] * hidden, projection or hidden
    state = {}
    for depth in range(layers):
        width = inputs if depth == 0 else out * (1 + both)
        for end in ("", "_reverse")[: 1 + both]:
            shapes: dict[str, tuple[int, ...]] = {"weight_ih": (rows, width), "weight_hh": (rows, out)}
            if bias:
                shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
            if projection:
                shapes["weight_hr"] = (projection, hidden)
            for part, shape in shapes.items():
                values = rng.standard_normal(shape) / np.sqrt(shape[-1])
                state[f"{prefix}{part}_l{depth}{end}"] = values.astype(np.float32)
    return state


def sigmoid(x: NDArray[Any]) -> NDArray[Any]:
    return 1 / (1 + np.exp(-x))


def documented(kind: str, state: State, x: NDArray[Any], prefix: str = "") -> NDArray[Any]:
    """y [T, B, D R] of a whole stack from zero states, as the module's documentation has it, in float64."""
    depth = 0
    while f"{prefix}weight_hh_l{depth}" in state:
        ends = [e for e in ("", "_reverse") if f"{prefix}weight_hh_l{depth}{e}" in state]
        ways = [_one(kind, state, x, prefix, f"_l{depth}{e}", bool(e)) for e in ends]
        x, depth = np.concatenate(ways, axis=2), depth + 1
    return x


def _one(kind: str, state: State, x: NDArray[Any], prefix: str, end: str, reverse: bool) -> NDArray[Any]:
    def get(part: str, gate: int) -> Any:
        tensor = state.get(f"{prefix}{part}{end}")
        return 0.0 if tensor is None else np.split(tensor.astype(np.float64), GATES[kind])[gate]

    def side(part: str, gate: int, v: NDArray[Any]) -> Any:
        return get(f"weight_{part}", gate) @ v + get(f"bias_{part}", gate)

    def step(x: NDArray[Any], h: NDArray[Any], c: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        if kind == "LSTM":
            i, f, g, o = (side("ih", k, x) + side("hh", k, h) for k in range(4))
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
            projection = state.get(f"{prefix}weight_hr{end}")
            return (h if projection is None else projection.astype(np.float64) @ h), c
        if kind == "GRU":
            r, z = (sigmoid(side("ih", k, x) + side("hh", k, h)) for k in range(2))
            n = np.tanh(side("ih", 2, x) + r * side("hh", 2, h))
            return (1 - z) * n + z * h, c
        total = side("ih", 0, x) + side("hh", 0, h)
        return (np.tanh(total) if kind == "tanh" else np.maximum(total, 0)), c

    rows, out = state[f"{prefix}weight_hh{end}"].shape
    y = np.empty((*x.shape[:2], out))
    for column in range(x.shape[1]):
        h, c = np.zeros(out), np.zeros(rows // GATES[kind])
        for t in reversed(range(len(x))) if reverse else range(len(x)):
            h, c = step(x[t, column], h, c)
            y[t, column] = h
    return y


def run_imported(layers: list[ImportedLayer], x: NDArray[Any], lengths: Any = None) -> NDArray[Any]:
    """The same of imported layers, in float64."""

    def run(layer: ImportedLayer, x: NDArray[Any]) -> NDArray[Any]:
        return run_reference(check(parse(layer.source)).cell, layer.tensors, x)[0]

    return run_stack(layers, x, run, lengths)
