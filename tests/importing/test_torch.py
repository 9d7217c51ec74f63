"""Against PyTorch itself, where it is installed."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pytorch_state import run_imported

from sprnnc.diagnostics import CompileError
from sprnnc.importing import from_module, import_file

torch = pytest.importorskip("torch")
STEPS, BATCH = 9, 2


def random_module(draw: random.Random, projections: bool = True) -> Any:
    """A random configuration of a random module."""
    kind = draw.choice(["LSTM", "GRU", "RNN"])
    hidden = draw.randint(2, 12)
    options: dict[str, Any] = {
        "num_layers": draw.randint(1, 3),
        "bidirectional": draw.random() < 0.5,
        "bias": draw.random() < 0.7,
        "batch_first": draw.random() < 0.5,
    }
    if kind == "LSTM" and projections and draw.random() < 0.5:
        options["proj_size"] = draw.randint(1, hidden - 1)
    if kind == "RNN":
        options["nonlinearity"] = draw.choice(["tanh", "relu"])
    return getattr(torch.nn, kind)(draw.randint(1, 9), hidden, **options)


@pytest.mark.parametrize("seed", range(50))
def test_a_module_and_its_file_agree_with_torch(seed: int, tmp_path: Path) -> None:
    torch.manual_seed(seed)
    module = random_module(random.Random(seed))
    x = np.random.default_rng(seed).standard_normal((STEPS, BATCH, module.input_size))
    given = torch.tensor(x).transpose(0, 1) if module.batch_first else torch.tensor(x)
    layers = from_module(module)
    torch.save(module.state_dict(), tmp_path / "m.pt")
    nonlinearity = getattr(module, "nonlinearity", None)
    from_file = import_file(tmp_path / "m.pt", nonlinearity)
    with torch.no_grad():
        expected = module.double()(given)[0]
    expected = (expected.transpose(0, 1) if module.batch_first else expected).numpy()
    for imported in (layers, from_file):
        got = run_imported(imported, x)
        assert np.linalg.norm(got - expected) <= 1e-6 * np.linalg.norm(expected)  # a relu may be 0 throughout


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
    with pytest.raises(CompileError, match="E707"):
        import_file(tmp_path / "m.pt")
    (tmp_path / "n.pt").write_bytes((tmp_path / "m.pt").read_bytes()[:300])
    with pytest.raises(CompileError, match=r"E302|E707"):
        import_file(tmp_path / "n.pt")
    assert sorted(os.listdir(tmp_path)) == ["m.pt", "n.pt"]


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.filterwarnings("ignore")  # of the exporter
def test_an_exported_onnx_model_agrees_with_torch(seed: int, tmp_path: Path) -> None:
    torch.manual_seed(seed)
    module = random_module(random.Random(seed), projections=False).eval()  # which torch cannot export
    x = torch.randn(STEPS, BATCH, module.input_size)
    given = x.transpose(0, 1) if module.batch_first else x
    torch.onnx.export(module, (given,), tmp_path / "m.onnx", dynamo=False)
    layers = import_file(tmp_path / "m.onnx")
    ways = 2 if module.bidirectional else 1
    assert len(layers) == module.num_layers * ways
    assert [layer.depth for layer in layers] == [d for d in range(module.num_layers) for _ in range(ways)]
    y = run_imported(layers, x.numpy().astype(np.float64))
    with torch.no_grad():
        expected = module.double()(given.double())[0]
    expected = (expected.transpose(0, 1) if module.batch_first else expected).numpy()
    assert np.linalg.norm(y - expected) <= 1e-6 * np.linalg.norm(expected)  # a relu may be 0 throughout
