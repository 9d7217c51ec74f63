"""From a module of PyTorch in this process; torch itself is never imported, only asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sprnnc.diagnostics import fail
from sprnnc.importing.checkpoint import arrays_of
from sprnnc.importing.layer import ImportedLayer
from sprnnc.importing.pytorch import from_tensors


def from_module(module: Any) -> list[ImportedLayer]:
    """An ``nn.LSTM``, ``nn.GRU``, ``nn.RNN`` or one of their cells; or a model that holds some.

    One result a layer and direction, those of a layer together; ``result.source`` and ``result.tensors`` are
    what ``sprnnc.compile`` takes. ``batch_first`` and dropout do not change a cell: the compiled layer
    takes [T, B, I] always. Raises CompileError as ``from_state_dict``, and E703 for what is not a module.
    """
    if not callable(getattr(module, "state_dict", None)):
        raise fail(
            "E703",
            f"{type(module).__name__} is not a module: it has no state_dict",
            help="give an nn.LSTM, nn.GRU or nn.RNN, or from_state_dict a mapping of tensors by name",
        )
    return from_state_dict(module.state_dict(), _nonlinearities(module), where=type(module).__name__)


def from_state_dict(
    tensors: Mapping[str, Any],
    nonlinearity: str | Mapping[str, str] | None = None,
    *,
    where: str = "state_dict",
) -> list[ImportedLayer]:
    """Tensors of torch, or arrays, by name: every recurrent layer and direction among them.

    ``nonlinearity``: ``tanh`` or ``relu``, where an nn.RNN is among them, or one for each module by name.
    Raises CompileError E701 to E706.
    """
    return from_tensors(arrays_of(tensors), where, nonlinearity)


def _nonlinearities(module: Any) -> dict[str, str]:
    """What each nn.RNN applies, by its name in the model."""
    parts = getattr(module, "named_modules", None) or (lambda: [("", module)])
    return {str(name): kind for name, part in parts() if (kind := _own_nonlinearity(part))}


def _own_nonlinearity(module: Any) -> str | None:
    mode = getattr(module, "mode", None)
    if mode in ("RNN_TANH", "RNN_RELU"):
        return str(mode).removeprefix("RNN_").lower()
    kind = getattr(module, "nonlinearity", None)  # nn.RNNCell
    return kind if kind in ("tanh", "relu") else None
