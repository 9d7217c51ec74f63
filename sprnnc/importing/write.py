"""The files that imported layers and models become."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sprnnc.importing.layer import ImportedLayer
from sprnnc.importing.model import ImportedModel
from sprnnc.sparsity.write_weights import safetensors_bytes


def files_of(layers: Sequence[ImportedLayer]) -> dict[str, bytes]:
    """A ``.sprnn`` and a ``.safetensors`` file a layer, and ``.state.safetensors`` for its initial states."""
    return {name: data for layer in layers for name, data in _files(layer)}


def files_of_models(models: Sequence[ImportedModel]) -> dict[str, bytes]:
    """The same of whole models, whose tensors and states are called by their layers."""
    return {name: data for model in models for name, data in _files(model)}


def _files(made: ImportedLayer | ImportedModel) -> Iterator[tuple[str, bytes]]:
    yield f"{made.name}.sprnn", made.source.encode()
    yield f"{made.name}.safetensors", safetensors_bytes(made.tensors)
    if made.initial:
        yield f"{made.name}.state.safetensors", safetensors_bytes(made.initial)
