"""A GPU, a library of peers and our layer, as far as the harness looks at them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.peers.inputs import PeerInputs
from benchmarks.peers.outcome import Measured, Refused, Timing


class PlayedLayer:
    """Gives the expected outputs, a little off, and fixed times."""

    def __init__(self, y: np.ndarray) -> None:
        self.y = y
        self.closed = False

    def __call__(self, x: np.ndarray) -> tuple[np.ndarray, dict[str, Any]]:
        return self.y * 1.001, {}

    def time_us(self, x: np.ndarray, repeats: int) -> list[float]:
        return [1.0] * repeats

    def close(self) -> None:
        self.closed = True


class PlayedLibrary:
    well = True

    def device_is_well(self) -> bool:
        return self.well


def answer(y: np.ndarray, us: float) -> Callable[[PeerInputs, Timing], Measured]:
    """A peer that is right, for any padding of the batch."""

    def run(inputs: PeerInputs, timing: Timing) -> Measured:
        columns = np.arange(inputs.batch) % y.shape[1]
        return Measured(y[:, columns].astype(np.float32), (us, us * 1.5, us * 0.5))

    return run


def refusing(inputs: PeerInputs, timing: Timing) -> Measured:
    raise Refused("cudnnBuildRNNDynamic: NOT_SUPPORTED")


def crashing(inputs: PeerInputs, timing: Timing) -> Measured:
    raise RuntimeError("out of\nmemory")
