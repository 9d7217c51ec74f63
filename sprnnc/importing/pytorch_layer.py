"""A layer and direction of ``nn.LSTM``, ``nn.GRU`` or ``nn.RNN``: its equations, and its cell's tensors.

The equations are those of PyTorch's documentation of these modules. Stacked gates lie in the order
i, f, g, o (LSTM) and r, z, n (GRU).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sprnnc.importing.form import Form, Kind
from sprnnc.importing.layer import Float64, States
from sprnnc.importing.steps import over_time, sigmoid

GATE_ORDER = {
    Kind.LSTM: ("i", "f", "g", "o"),
    Kind.GRU_AFTER: ("r", "z", "n"),
    Kind.RNN_TANH: ("",),
    Kind.RNN_RELU: ("",),
}


@dataclass(frozen=True, slots=True)
class PyTorchLayer:
    """``tensors``, float64: weight_ih [G H, I], weight_hh [G H, R], weight_hr [R, H] with a projection,
    bias_ih and bias_hh [G H] or neither; G gates."""

    kind: Kind
    tensors: Mapping[str, Float64]
    reverse: bool = False

    @property
    def description(self) -> str:
        module = {Kind.LSTM: "LSTM", Kind.GRU_AFTER: "GRU"}.get(self.kind, "RNN")
        return f"PyTorch's nn.{module}"

    @property
    def form(self) -> Form:
        """Sizes, as the shapes of the tensors say."""
        rows, inputs = self.tensors["weight_ih"].shape
        projection = self.tensors.get("weight_hr")
        return Form(
            kind=self.kind,
            inputs=inputs,
            hidden=rows // len(GATE_ORDER[self.kind]),
            projection=None if projection is None else len(projection),
            biased="bias_ih" in self.tensors,
        )

    def cell_tensors(self) -> dict[str, NDArray[np.float32]]:
        """The parameters by their names in the cell's text.

        Both biases of a gate are added in float64, then rounded; a GRU's candidate keeps them apart,
        for the reset gate multiplies the recurrent one.
        """
        split = {part: self._by_gate(part) for part in self.tensors if part != "weight_hr"}
        gates = self.kind.gates
        cell = {f"W{g}": split["weight_ih"][g] for g in gates}
        cell |= {f"U{g}": split["weight_hh"][g] for g in gates}
        if "weight_hr" in self.tensors:
            cell["P"] = self.tensors["weight_hr"]
        if "bias_ih" in split:
            cell |= {f"b{g}": split["bias_ih"][g] + split["bias_hh"][g] for g in gates}
            if self.kind is Kind.GRU_AFTER:
                cell["bn"], cell["bun"] = split["bias_ih"]["n"], split["bias_hh"]["n"]
        with np.errstate(over="ignore"):  # beyond float32 becomes Inf, which the check refuses
            return {name: np.array(tensor, np.float32, order="C") for name, tensor in cell.items()}

    def _by_gate(self, part: str) -> dict[str, Float64]:
        order = GATE_ORDER[self.kind]
        return dict(zip(order, np.split(self.tensors[part], len(order)), strict=True))

    def run(self, x: Float64, state: States) -> Float64:
        """h of every step; see ``Origin.run``."""
        step = {Kind.LSTM: self._lstm, Kind.GRU_AFTER: self._gru}.get(self.kind, self._rnn)
        return over_time(step, x, state, self.reverse)

    def _sums(self, x: Float64, h: Float64) -> tuple[Float64, Float64]:
        """What comes from the input and from h, [B, G H] each, with their biases."""
        w = self.tensors
        from_input, from_state = x @ w["weight_ih"].T, h @ w["weight_hh"].T
        if "bias_ih" in w:
            return from_input + w["bias_ih"], from_state + w["bias_hh"]
        return from_input, from_state

    def _lstm(self, x: Float64, old: dict[str, Float64]) -> dict[str, Float64]:
        a, b = self._sums(x, old["h"])
        i, f, g, o = np.split(a + b, 4, axis=1)
        c = sigmoid(f) * old["c"] + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        return {"h": h @ self.tensors["weight_hr"].T if "weight_hr" in self.tensors else h, "c": c}

    def _gru(self, x: Float64, old: dict[str, Float64]) -> dict[str, Float64]:
        a, b = self._sums(x, old["h"])
        (ar, az, an), (br, bz, bn) = np.split(a, 3, axis=1), np.split(b, 3, axis=1)
        r, z = sigmoid(ar + br), sigmoid(az + bz)
        n = np.tanh(an + r * bn)
        return {"h": (1 - z) * n + z * old["h"]}

    def _rnn(self, x: Float64, old: dict[str, Float64]) -> dict[str, Float64]:
        total = np.add(*self._sums(x, old["h"]))
        return {"h": np.tanh(total) if self.kind is Kind.RNN_TANH else np.maximum(total, 0)}
