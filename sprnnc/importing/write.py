"""The files that imported layers become."""

from __future__ import annotations

from collections.abc import Sequence

from sprnnc.importing.layer import ImportedLayer
from sprnnc.sparsity.write_weights import safetensors_bytes


def files_of(layers: Sequence[ImportedLayer]) -> dict[str, bytes]:
    """A ``.sprnn`` and a ``.safetensors`` file a layer, and ``.state.safetensors`` for its initial states."""
    files = {}
    for layer in layers:
        files[f"{layer.name}.sprnn"] = layer.source.encode()
        files[f"{layer.name}.safetensors"] = safetensors_bytes(layer.tensors)
        if layer.initial:
            files[f"{layer.name}.state.safetensors"] = safetensors_bytes(layer.initial)
    return files
