"""Runs sprnnc artifacts. Needs NumPy, and cuda-core where there is a GPU; nothing of the compiler."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sprnn_runtime.errors import (
    ArtifactError,
    DeviceError,
    InputError,
    SprnnError,
    Unavailable,
    WaitTimeout,
)
from sprnn_runtime.layer import Layer
from sprnn_runtime.loading import load

if TYPE_CHECKING:
    from sprnn_runtime.network import Network

__all__ = [
    "ArtifactError",
    "DeviceError",
    "InputError",
    "Layer",
    "Network",
    "SprnnError",
    "Unavailable",
    "WaitTimeout",
    "load",
]


def __getattr__(name: str) -> Any:
    """``Network`` is imported on first use, so that a layer alone costs nothing more."""
    if name != "Network":
        raise AttributeError(f"module 'sprnn_runtime' has no attribute '{name}'")
    from sprnn_runtime.network import Network

    return Network
