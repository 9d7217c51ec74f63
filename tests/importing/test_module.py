"""Modules are asked, not imported: anything that looks like one of PyTorch's will do."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from pytorch_state import documented, random_state, run_imported

from sprnnc.diagnostics import CompileError
from sprnnc.importing import from_module


class Tensor:
    """As much of a torch.Tensor as is asked for."""

    def __init__(self, values: Any) -> None:
        self.values = values

    def detach(self) -> Tensor:
        return self

    cpu = detach

    def double(self) -> Tensor:
        return Tensor(self.values.astype(np.float64))

    def numpy(self) -> Any:
        return self.values


class Module:
    """As much of an nn.RNN."""

    def __init__(self, kind: str, mode: str) -> None:
        self.state = random_state(kind, 3, 4, layers=2, both=True)
        self.mode = mode

    def state_dict(self) -> dict[str, Tensor]:
        return {name: Tensor(values) for name, values in self.state.items()}


@pytest.mark.parametrize(
    ("kind", "mode"), [("LSTM", "LSTM"), ("GRU", "GRU"), ("tanh", "RNN_TANH"), ("relu", "RNN_RELU")]
)
def test_a_module_says_itself_what_it_is(kind: str, mode: str) -> None:
    module = Module(kind, mode)
    layers = from_module(module)
    x = np.random.default_rng(0).standard_normal((5, 2, 3))
    np.testing.assert_allclose(run_imported(layers, x), documented(kind, module.state, x), atol=1e-6)


def test_what_is_no_module_is_refused() -> None:
    with pytest.raises(CompileError, match="int is not a module"):
        from_module(3)


def test_nothing_optional_is_imported_at_import_time() -> None:
    code = "import sys, sprnnc.importing; print({'torch', 'onnx'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_each_rnn_of_a_model_has_its_own_nonlinearity() -> None:
    parts = {"low": Module("tanh", "RNN_TANH"), "high.deep": Module("relu", "RNN_RELU")}

    class Model:
        def named_modules(self) -> Any:
            return [("", self), *parts.items()]

        def state_dict(self) -> dict[str, Tensor]:
            return {f"{p}.{n}": t for p, part in parts.items() for n, t in part.state_dict().items()}

    layers = from_module(Model())
    assert ["relu(" in layer.source for layer in layers] == [False] * 4 + [True] * 4
