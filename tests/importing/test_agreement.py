"""The check against the origin notices a conversion that is wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pytorch_state import random_state

from sprnnc.diagnostics import CompileError
from sprnnc.importing import from_state_dict, onnx_layer, pytorch_layer
from sprnnc.importing.agreement import agreement
from sprnnc.importing.form import Kind
from sprnnc.importing.onnx_layer import OnnxLayer
from sprnnc.importing.pytorch_layer import PyTorchLayer


def swapped(order: tuple[str, ...], a: int, b: int) -> tuple[str, ...]:
    gates = list(order)
    gates[a], gates[b] = gates[b], gates[a]
    return tuple(gates)


@pytest.mark.parametrize("pair", [(0, 1), (0, 3), (1, 2), (2, 3)])
def test_swapped_gates_of_an_lstm(pair: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    order = swapped(pytorch_layer.GATE_ORDER[Kind.LSTM], *pair)
    monkeypatch.setitem(pytorch_layer.GATE_ORDER, Kind.LSTM, order)
    with pytest.raises(CompileError, match="E706"):
        from_state_dict(random_state("LSTM", 3, 8))


@pytest.mark.parametrize("pair", [(0, 1), (0, 2), (1, 2)])
def test_swapped_gates_of_a_gru(pair: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    order = swapped(pytorch_layer.GATE_ORDER[Kind.GRU_AFTER], *pair)
    monkeypatch.setitem(pytorch_layer.GATE_ORDER, Kind.GRU_AFTER, order)
    with pytest.raises(CompileError, match="E706"):
        from_state_dict(random_state("GRU", 3, 8))


def test_a_bias_on_the_wrong_side_of_the_reset(monkeypatch: pytest.MonkeyPatch) -> None:
    right = PyTorchLayer.cell_tensors

    def wrong(self: PyTorchLayer) -> dict[str, np.ndarray]:
        tensors = right(self)
        tensors["bn"], tensors["bun"] = tensors["bun"], tensors["bn"]
        return tensors

    monkeypatch.setattr(PyTorchLayer, "cell_tensors", wrong)
    with pytest.raises(CompileError, match="E706"):
        from_state_dict(random_state("GRU", 3, 8))


def test_swapped_gates_and_peepholes_of_an_onnx_node(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from sprnnc.importing.form import source_text

    rng = np.random.default_rng(0)
    layer = OnnxLayer(Kind.LSTM, *(rng.standard_normal(s) / 3 for s in ((32, 3), (32, 8), (64,), (24,))))
    tensors = layer.cell_tensors()
    source = source_text(layer.form, "m", tensors, "a test")
    assert agreement(source, tensors, layer, False, "m") < 1e-6
    with pytest.raises(CompileError, match="E706"):
        agreement(source, tensors | {"pi": tensors["pf"], "pf": tensors["pi"]}, layer, False, "m")
    with pytest.raises(CompileError, match="E706"):
        agreement(source, tensors, layer, True, "m")  # the wrong direction
    monkeypatch.setitem(onnx_layer._GATE_ORDER, Kind.LSTM, ("i", "f", "o", "g"))
    with pytest.raises(CompileError, match="E706"):
        agreement(source, layer.cell_tensors(), layer, False, "m")
