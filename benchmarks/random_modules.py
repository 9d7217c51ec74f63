"""Random nn.LSTM, nn.GRU and nn.RNN, each told by its number alone; torch is imported only to make one."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
_DRAWS = 8
_ROUNDING = 2.0**-24  # to fp32, at most, relative
_OWN_ROUNDINGS = 4  # of an activation and what is multiplied after it


@dataclass(frozen=True, slots=True)
class Configuration:
    """A module's options, and the input that it is run on.

    ``projection``: 0 for none. ``lengths``: empty where all columns have ``steps`` steps. ``exporter``: which
    of PyTorch's two writes the ONNX file.
    """

    number: int
    kind: str
    nonlinearity: str
    inputs: int
    hidden: int
    layers: int
    bidirectional: bool
    bias: bool
    projection: int
    batch_first: bool
    steps: int
    batch: int
    lengths: tuple[int, ...]
    exporter: str

    @property
    def terms(self) -> int:
        """The most products in a sum of any gate."""
        out = (self.projection or self.hidden) * (2 if self.bidirectional else 1)
        return self.hidden + max(self.inputs, out if self.layers > 1 else 0)


def draw(number: int, largest: int = 20) -> Configuration:
    """Configuration ``number`` with at most ``largest`` units; the same number gives the same one."""
    chance = random.Random(number)
    kind = chance.choice(["LSTM", "LSTM", "GRU", "RNN"])
    hidden = chance.randint(2, largest)
    projection = chance.randint(1, hidden - 1) if kind == "LSTM" and chance.random() < 0.4 else 0
    steps, batch = chance.randint(1, 9), chance.randint(1, 4)
    uneven = chance.random() < 0.25
    return Configuration(
        number=number,
        kind=kind,
        nonlinearity=chance.choice(["tanh", "relu"]) if kind == "RNN" else "",
        inputs=chance.randint(1, largest),
        hidden=hidden,
        layers=chance.randint(1, 3),
        bidirectional=chance.random() < 0.5,
        bias=chance.random() < 0.7,
        projection=projection,
        batch_first=chance.random() < 0.5,
        steps=steps,
        batch=batch,
        lengths=tuple(chance.randint(1, steps) for _ in range(batch)) if uneven else (),
        # nn.RNN is no node for the newer one, which unrolls its steps
        exporter=chance.choice(["dynamo", "torchscript"]) if kind != "RNN" else "torchscript",
    )


def make_module(configuration: Configuration) -> Any:
    """The module, in evaluation mode; its weights are told by the number too."""
    import torch

    c = configuration
    torch.manual_seed(c.number)
    options: dict[str, Any] = {"nonlinearity": c.nonlinearity} if c.kind == "RNN" else {}
    if c.projection:
        options["proj_size"] = c.projection
    module = getattr(torch.nn, c.kind)(
        c.inputs,
        c.hidden,
        num_layers=c.layers,
        bidirectional=c.bidirectional,
        bias=c.bias,
        batch_first=c.batch_first,
        **options,
    )
    return module.eval()


def make_input(configuration: Configuration) -> NDArray[np.float32]:
    """Standard normal [T, B, I]."""
    c = configuration
    return np.random.default_rng(c.number).standard_normal((c.steps, c.batch, c.inputs), np.float32)


def run_torch(module: Any, configuration: Configuration, x: Array) -> Array:
    """The module's own y [T, B, D R] for ``x`` [T, B, I], in the type of its parameters."""
    import torch
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

    c = configuration
    given = torch.from_numpy(x.copy()).to(next(module.parameters()).dtype)
    given = given.transpose(0, 1) if c.batch_first else given
    with torch.no_grad():
        if c.lengths:
            options = {"batch_first": c.batch_first}
            packed = pack_padded_sequence(given, list(c.lengths), enforce_sorted=False, **options)
            y = pad_packed_sequence(module(packed)[0], total_length=c.steps, **options)[0]
        else:
            y = module(given)[0]
    result: Array = (y.transpose(0, 1) if c.batch_first else y).numpy()
    return result


def export_onnx(module: Any, configuration: Configuration, path: Path) -> None:
    """Writes the module as an ONNX file. It must have no projection: PyTorch cannot export one."""
    import warnings

    import torch

    c = configuration
    shape = (c.batch, c.steps, c.inputs) if c.batch_first else (c.steps, c.batch, c.inputs)
    options: dict[str, Any] = {"dynamo": c.exporter == "dynamo"}
    if c.exporter == "dynamo":
        options |= {"external_data": False, "verbose": False}
    with warnings.catch_warnings(action="ignore"):  # the exporter's advice on other runtimes
        torch.onnx.export(module, (torch.zeros(shape),), str(path), **options)


def rounding_bound(module: Any, configuration: Configuration, x: Array) -> float:
    """How far fp32 may be from float64 here, as ||difference|| / ||y||.

    A sum of n products in fp32 is the exact sum of numbers that are off by some sqrt(n) roundings (Higham,
    "Accuracy and Stability of Numerical Algorithms", chapter 3). So every parameter and input of the module
    is moved that far at random, in float64: the bound is the largest of eight such movements of the output,
    and four roundings of the output itself besides.
    """
    rng = np.random.default_rng(configuration.number)
    reach = _ROUNDING * np.sqrt(configuration.terms)
    exact = _run_double(module, configuration, x, lambda values: values)

    def moved(values: Array) -> Array:
        return values * (1 + reach * rng.choice([-1.0, 1.0], values.shape))

    scale = float(np.linalg.norm(exact)) or 1.0
    apart = [np.linalg.norm(_run_double(module, configuration, x, moved) - exact) for _ in range(_DRAWS)]
    return float(max(apart) / scale + _OWN_ROUNDINGS * _ROUNDING)


def exact_output(module: Any, configuration: Configuration, x: Array) -> Array:
    """y of the same module in float64."""
    return _run_double(module, configuration, x, lambda values: values)


def _run_double(module: Any, configuration: Configuration, x: Array, move: Callable[[Array], Array]) -> Array:
    """With every parameter and the input as ``move`` gives them."""
    import copy

    import torch

    double = copy.deepcopy(module).double()
    with torch.no_grad():
        for parameter in double.parameters():
            parameter.copy_(torch.from_numpy(move(parameter.numpy())))
    return run_torch(double, configuration, move(x.astype(np.float64)))


def as_row(configuration: Configuration) -> dict[str, Any]:
    """For a result file."""
    return dataclasses.asdict(configuration)
