"""sprnnc: pruned recurrent networks as persistent GPU kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sprnnc.version import VERSION as __version__

if TYPE_CHECKING:
    from sprnnc.artifact import Artifact
    from sprnnc.compiler import compile
    from sprnnc.diagnostics import CompileError
    from sprnnc.executors import execute
    from sprnnc.explanation import explain
    from sprnnc.network_artifact import NetworkArtifact, load

_HOME = {
    "Artifact": "sprnnc.artifact",
    "CompileError": "sprnnc.diagnostics",
    "compile": "sprnnc.compiler",
    "execute": "sprnnc.executors",
    "NetworkArtifact": "sprnnc.network_artifact",
    "explain": "sprnnc.explanation",
    "load": "sprnnc.network_artifact",
}
_PACKAGES = ("importing", "pruning", "torch")
__all__ = [
    "Artifact",
    "CompileError",
    "NetworkArtifact",
    "__version__",
    "compile",
    "execute",
    "explain",
    "load",
]


def __getattr__(name: str) -> Any:
    """Imports on first use, so that ``import sprnnc`` alone costs nothing."""
    from importlib import import_module

    if name in _PACKAGES:
        return import_module(f"sprnnc.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'sprnnc' has no attribute '{name}'")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value
