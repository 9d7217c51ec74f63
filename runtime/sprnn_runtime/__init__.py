"""Runs sprnnc artifacts. Needs NumPy, and cuda-core where there is a GPU; nothing of the compiler."""

from sprnn_runtime.errors import (
    ArtifactError,
    DeviceError,
    InputError,
    SprnnError,
    Unavailable,
    WaitTimeout,
)
from sprnn_runtime.layer import Layer, load

__all__ = [
    "ArtifactError",
    "DeviceError",
    "InputError",
    "Layer",
    "SprnnError",
    "Unavailable",
    "WaitTimeout",
    "load",
]
