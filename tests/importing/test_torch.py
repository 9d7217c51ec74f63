"""Against PyTorch itself, where it is installed."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pytorch_state import run_imported

from benchmarks import round_trips
from benchmarks.random_modules import (
    Configuration,
    draw,
    exact_output,
    export_onnx,
    make_input,
    make_module,
)
from benchmarks.round_trips import Options, round_trip
from sprnnc.diagnostics import CompileError
from sprnnc.importing import ImportedLayer, from_module, import_file, run_stack

torch = pytest.importorskip("torch")


@pytest.mark.parametrize("number", range(40))
@pytest.mark.filterwarnings("ignore")  # of the exporter
def test_a_module_its_file_and_its_export_agree_with_torch(number: int, tmp_path: Path) -> None:
    configuration = dataclasses.replace(draw(number, 12), exporter="torchscript")
    module, x = make_module(configuration), make_input(configuration)
    exact = exact_output(module, configuration, x)
    torch.save(module.state_dict(), tmp_path / "m.pt")
    ways = [from_module(module), import_file(tmp_path / "m.pt", configuration.nonlinearity or None)]
    if not configuration.projection:  # which torch cannot export
        export_onnx(module, configuration, tmp_path / "m.onnx")
        ways.append(import_file(tmp_path / "m.onnx"))
    for layers in ways:
        got = run_imported(layers, x.astype(np.float64), configuration.lengths or None)
        assert np.linalg.norm(got - exact) <= 1e-6 * np.linalg.norm(exact)  # a relu may be 0 throughout


@pytest.mark.parametrize("number", [2, 4, 5])
@pytest.mark.filterwarnings("ignore")
def test_round_trips_end_within_fp32_rounding(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    options = Options("sim", "sim", 12)
    if not importlib.util.find_spec("onnxscript"):
        monkeypatch.setattr(round_trips, "draw", torchscript_only)
    row = round_trip(number, options)
    assert row["agrees"] and {"module", "state_dict"} <= row["errors"].keys()

    def a_little_off(layer: ImportedLayer, x: np.ndarray) -> np.ndarray:
        return runner(layer, x) * np.float32(1 + 1e-5)

    configuration = draw(number, 12)
    runner = round_trips._Runner(configuration.batch, options)
    module, x = make_module(configuration), make_input(configuration)
    y = run_stack(from_module(module), x, a_little_off, configuration.lengths or None)
    exact = exact_output(module, configuration, x)
    assert np.linalg.norm(y - exact) / np.linalg.norm(exact) > row["bound"]


def torchscript_only(number: int, largest: int) -> Configuration:
    return dataclasses.replace(draw(number, largest), exporter="torchscript")


@pytest.mark.parametrize("nest", [lambda s: s, lambda s: {"epoch": 3, "state_dict": s}])
def test_a_model_around_the_layer_does_not_matter(nest: Any, tmp_path: Path) -> None:
    model = torch.nn.ModuleDict({"embed": torch.nn.Embedding(4, 3), "rnn": torch.nn.RNN(3, 4)})
    assert [layer.name for layer in from_module(model)] == ["rnn_l0"]
    torch.save(nest(model.state_dict()), tmp_path / "m.pt")
    assert [layer.name for layer in import_file(tmp_path / "m.pt", "tanh")] == ["rnn_l0"]


def test_half_precision_is_taken_over_bit_by_bit() -> None:
    module = torch.nn.GRU(3, 4).to(torch.bfloat16)
    (layer,) = from_module(module)
    np.testing.assert_array_equal(layer.tensors["Ur"], module.weight_hh_l0[:4].float().detach().numpy())


def test_a_whole_module_in_a_file_is_refused(tmp_path: Path) -> None:
    torch.save(torch.nn.LSTM(3, 4), tmp_path / "m.pt")
    with pytest.raises(CompileError, match=r"E707.*it asks for torch\.nn\.modules\.rnn\.LSTM") as raised:
        import_file(tmp_path / "m.pt")
    assert "weights_only" not in str(raised.value)  # torch itself advises to load it all the same
    (tmp_path / "n.pt").write_bytes((tmp_path / "m.pt").read_bytes()[:300])
    with pytest.raises(CompileError, match=r"E302|E707"):
        import_file(tmp_path / "n.pt")
    assert sorted(os.listdir(tmp_path)) == ["m.pt", "n.pt"]


@pytest.mark.filterwarnings("ignore")  # TorchScript is deprecated
def test_an_archive_of_torchscript_is_refused(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 3)), tmp_path / "m.pt")
    with pytest.raises(CompileError, match=r"E707.*TorchScript archive") as raised:
        import_file(tmp_path / "m.pt")
    assert "weights_only" not in str(raised.value)


@pytest.mark.parametrize("kind", ["sparse", "meta", "quantised"])
def test_tensors_that_hold_no_floats_in_a_row_are_named(kind: str, tmp_path: Path) -> None:
    state = dict(torch.nn.LSTM(3, 4).state_dict())
    weight = state["weight_hh_l0"]
    state["weight_hh_l0"] = {
        "sparse": weight.to_sparse,
        "meta": lambda: weight.to("meta"),
        "quantised": lambda: torch.quantize_per_tensor(weight, 0.1, 0, torch.qint8),
    }[kind]()
    torch.save(state, tmp_path / "m.pt")
    with pytest.raises(CompileError, match=r"E306.*'weight_hh_l0' cannot be read as numbers"):
        import_file(tmp_path / "m.pt")
