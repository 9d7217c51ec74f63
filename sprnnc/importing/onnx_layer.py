"""A direction of an ONNX LSTM, GRU or RNN node: its equations, and its cell's tensors.

The equations are those of the operators' documentation (ONNX operators LSTM, GRU and RNN, opset 14), with
their default activations. Stacked gates lie in the order i, o, f, c (LSTM) and z, r, h (GRU).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sprnnc.importing.form import Form, Kind
from sprnnc.importing.layer import Float64, States
from sprnnc.importing.steps import over_time, sigmoid

OPERATORS = {"LSTM": 4, "GRU": 3, "RNN": 1}  # gates of each
_OPERATOR = {Kind.LSTM: "LSTM", Kind.GRU_AFTER: "GRU", Kind.GRU_BEFORE: "GRU"}
# The gates as they are stacked, by their names in the cell's text.
_GATE_ORDER = {
    Kind.LSTM: ("i", "o", "f", "g"),
    Kind.GRU_AFTER: ("z", "r", "n"),
    Kind.GRU_BEFORE: ("z", "r", "n"),
    Kind.RNN_TANH: ("",),
    Kind.RNN_RELU: ("",),
}


@dataclass(frozen=True, slots=True)
class OnnxLayer:
    """One direction's tensors, float64: w [G H, I], r [G H, H], b [2 G H] or None (the input's biases, then
    the recurrent ones), p [3 H] or None (peepholes of i, o, f); G gates."""

    kind: Kind
    w: Float64
    r: Float64
    b: Float64 | None = None
    p: Float64 | None = None
    reverse: bool = False

    @property
    def description(self) -> str:
        return f"ONNX's {_OPERATOR.get(self.kind, 'RNN')}"

    @property
    def form(self) -> Form:
        """Sizes, as the shapes of the tensors say."""
        return Form(
            kind=self.kind,
            inputs=self.w.shape[1],
            hidden=self.r.shape[1],
            biased=self.b is not None,
            peepholes=self.p is not None,
        )

    def cell_tensors(self) -> dict[str, NDArray[np.float32]]:
        """The parameters by their names in the cell's text.

        Both biases of a gate are added in float64, then rounded; a candidate that resets after the
        product keeps them apart.
        """
        gates = self.kind.gates
        w, r = self._by_gate(self.w), self._by_gate(self.r)
        cell = {f"W{g}": w[g] for g in gates} | {f"U{g}": r[g] for g in gates}
        if self.p is not None:
            cell |= dict(zip(("pi", "po", "pf"), np.split(self.p, 3), strict=True))
        if self.b is not None:
            wb, rb = (self._by_gate(half) for half in np.split(self.b, 2))
            cell |= {f"b{g}": wb[g] + rb[g] for g in gates}
            if self.kind is Kind.GRU_AFTER:
                cell["bn"], cell["bun"] = wb["n"], rb["n"]
        with np.errstate(over="ignore"):  # beyond float32 becomes Inf, which the check refuses
            return {name: np.array(tensor, np.float32, order="C") for name, tensor in cell.items()}

    def _by_gate(self, stacked: Float64) -> dict[str, Float64]:
        order = _GATE_ORDER[self.kind]
        return dict(zip(order, np.split(stacked, len(order)), strict=True))

    def run(self, x: Float64, state: States) -> Float64:
        """h of every step; see ``Origin.run``."""
        step = {"LSTM": self._lstm, "GRU": self._gru}.get(_OPERATOR.get(self.kind, ""), self._rnn)
        return over_time(step, x, state, self.reverse)

    def _biases(self) -> tuple[Float64, Float64]:
        rows = len(self.w)
        wb, rb = np.split(np.zeros(2 * rows) if self.b is None else self.b, 2)
        return wb, rb

    def _lstm(self, x: Float64, old: dict[str, Float64]) -> dict[str, Float64]:
        wb, rb = self._biases()
        pi, po, pf = np.split(np.zeros(3 * self.r.shape[1]) if self.p is None else self.p, 3)
        i, o, f, c = np.split(x @ self.w.T + old["h"] @ self.r.T + wb + rb, 4, axis=1)
        i, f = sigmoid(i + pi * old["c"]), sigmoid(f + pf * old["c"])
        memory = f * old["c"] + i * np.tanh(c)
        return {"h": sigmoid(o + po * memory) * np.tanh(memory), "c": memory}

    def _gru(self, x: Float64, old: dict[str, Float64]) -> dict[str, Float64]:
        (wb, rb), h, size = self._biases(), old["h"], self.r.shape[1]
        from_input = x @ self.w.T + wb
        gates = from_input[:, : 2 * size] + h @ self.r[: 2 * size].T + rb[: 2 * size]
        z, r = np.split(sigmoid(gates), 2, axis=1)
        last, last_bias = self.r[2 * size :], rb[2 * size :]
        if self.kind is Kind.GRU_AFTER:  # linear_before_reset = 1
            candidate = r * (h @ last.T + last_bias)
        else:
            candidate = (r * h) @ last.T + last_bias
        return {"h": (1 - z) * np.tanh(from_input[:, 2 * size :] + candidate) + z * h}

    def _rnn(self, x: Float64, old: dict[str, Float64]) -> dict[str, Float64]:
        wb, rb = self._biases()
        total = x @ self.w.T + old["h"] @ self.r.T + wb + rb
        return {"h": np.tanh(total) if self.kind is Kind.RNN_TANH else np.maximum(total, 0)}
