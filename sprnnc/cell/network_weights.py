"""Tensors of a network, called ``layer.tensor``: shapes, random ones, and whether given ones are good."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sprnnc.cell.network import Network
from sprnnc.cell.weights import expected_shapes, not_finite, random_weights, validate_weights
from sprnnc.diagnostics import CompileError, Diagnostic

Tensor = NDArray[np.float32]


def network_shapes(network: Network) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor that ``network`` needs, by ``layer.tensor``."""
    tables = {f"{e.name}.table": (e.rows, e.size) for e in network.embeddings}
    return tables | {
        f"{layer.name}.{name}": shape
        for layer in network.owners
        for name, shape in expected_shapes(layer.cell).items()
    }


def random_tensors(network: Network, seed: int) -> dict[str, Tensor]:
    """Random ones of the declared patterns; each depends on the seed and its name alone."""
    tensors: dict[str, Tensor] = {}
    for e in network.embeddings:
        name = f"{e.name}.table"
        rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
        tensors[name] = rng.standard_normal((e.rows, e.size), dtype=np.float32)
    for layer in network.owners:
        own = random_weights(layer.cell, seed, f"{layer.name}.")
        tensors |= {f"{layer.name}.{name}": tensor for name, tensor in own.items()}
    return tensors


def validate_tensors(network: Network, tensors: Mapping[str, Tensor], allow_nan: bool) -> None:
    """Raises CompileError as ``validate_weights`` does, with what is wrong in all layers."""
    errors: list[Diagnostic] = []
    if not allow_nan:
        tables = [f"{e.name}.table" for e in network.embeddings]
        errors += [e for name in tables if (e := not_finite(name, tensors[name]))]
    for layer in network.owners:
        own = {name: tensors[f"{layer.name}.{name}"] for name in expected_shapes(layer.cell)}
        try:
            with in_layer(layer.name):
                validate_weights(layer.cell, own, allow_nan, network.dtype)
        except CompileError as error:
            errors += error.diagnostics
    if errors:
        raise CompileError(tuple(errors))


@contextmanager
def in_layer(name: str) -> Iterator[None]:
    """Errors that are raised inside say which layer they are about."""
    try:
        yield
    except CompileError as error:
        raise CompileError(tuple(_of_layer(d, name) for d in error.diagnostics)) from error


def _of_layer(diagnostic: Diagnostic, name: str) -> Diagnostic:
    return replace(diagnostic, message=f"layer '{name}': {diagnostic.message}")
