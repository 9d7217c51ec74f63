"""Artifact files to what runs on a device: a layer, or a network of layers."""

from __future__ import annotations

import os
from pathlib import Path

from sprnn_runtime import container
from sprnn_runtime.errors import InputError
from sprnn_runtime.layer import Layer, open_layer
from sprnn_runtime.loaded import read_members

NETWORK = "network"
"""What the manifest of a network has besides that of a layer: the steps of one call."""


def load(path: str | Path, device: str = "auto", *, device_id: int = 0, seed: int = 0) -> Layer:
    """Loads an artifact file onto a device: ``cuda``, ``sim``, or ``auto`` (cuda, else sim).

    A file with several layers gives a ``Network``, which is called as a Layer is. ``device_id`` picks the
    GPU; ``seed`` draws sim's schedule. Raises ArtifactError for a damaged file, Unavailable where the device
    cannot be had.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise InputError("E602", f"the artifact is {type(path).__name__}, expected the path of a file")
    where = str(path)
    json, members = container.unpack(container.read_file(Path(path)), where)
    if NETWORK in json:
        from sprnn_runtime.network import open_network, read_network  # most files hold one layer

        loaded = read_network(json, members, where)
        return open_network(loaded, device, device_id=device_id, seed=seed)
    return open_layer(read_members(json, members, where), device, device_id=device_id, seed=seed)
