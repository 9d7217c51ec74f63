"""One layer and direction of a model, on its way into the language."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sprnnc.importing.form import Form

Float64 = NDArray[np.float64]
States = Mapping[str, Float64]


class Origin(Protocol):
    """A layer as its library defines it: the equations, on the tensors as they are stored."""

    @property
    def description(self) -> str:
        """Where the equations stand, for messages: ``PyTorch's nn.LSTM``."""
        ...

    def run(self, x: Float64, state: States) -> Float64:
        """h of every step, float64 [T, B, R], for ``x`` [T, B, I] and h, c [B, size] at its start.

        A reversed layer begins at the last step; its result lies in the order of ``x``.
        """
        ...


@dataclass(frozen=True, slots=True)
class ImportedLayer:
    """A layer and direction as a cell of the language, and what it was before.

    ``source`` and ``tensors`` are what ``sprnnc.compile`` takes: the text, and float32 arrays by name.
    ``reverse``: it must be given its input backwards, and gives its output backwards.
    ``initial``: states at the start that the origin fixes, float32 [B, size]; the others are zero or given.
    ``lengths``: steps of each column, where the origin fixes them; empty where it does not.
    ``stack`` and ``depth``: layers of one stack have the same name, and lie at depths from 0.
    ``error``: ||y - origin|| / ||origin|| on random input.
    """

    name: str
    form: Form
    source: str
    tensors: dict[str, NDArray[np.float32]]
    origin: Origin
    error: float
    reverse: bool = False
    stack: str = ""
    depth: int = 0
    initial: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    lengths: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
