"""What a peer is and what a measurement of it gives."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from benchmarks.peers.inputs import PeerInputs


class Precision(Enum):
    """How a peer stores and multiplies. TF32 stores fp32 and rounds the factors of products to 10 bits."""

    FP16 = "fp16"
    BF16 = "bf16"
    TF32 = "tf32"
    FP32 = "fp32"

    def may_compete_with(self, dtype: str) -> bool:
        """A 16-bit row meets every precision. An fp32 row meets those that store fp32; whether one that
        may use TF32 really is as exact as fp32, its error says."""
        return dtype != "fp32" or self in (Precision.FP32, Precision.TF32)

    @property
    def tolerance(self) -> float:
        """The largest relative error of an output that can still be the same function."""
        return {"fp16": 2e-2, "bf16": 1e-1, "tf32": 2e-2, "fp32": 1e-4}[self.value]


class Refused(Exception):
    """A peer does not take the shape, is not installed, or failed: the reason, in one line."""


@dataclass(frozen=True, slots=True)
class Timing:
    """As many repeats as fit into ``patience_ms``, between the two bounds."""

    warmups: int = 3
    repeats: int = 20
    least_repeats: int = 5
    patience_ms: float = 500.0


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """``y`` float32 [T, B, H] of the timed runs, and microseconds a step, one value a call."""

    y: NDArray[np.float32]
    times_us: tuple[float, ...]

    @property
    def median_us(self) -> float:
        return statistics.median(self.times_us)


@dataclass(frozen=True, slots=True)
class Peer:
    """One configuration of one system. ``batch``: the columns that it runs, of which the case's are first.

    ``run`` raises Refused.
    """

    system: str
    variant: str
    precision: Precision
    batch: int
    padded: bool
    run: Callable[[PeerInputs, Timing], Measured]

    @property
    def name(self) -> str:
        words = (self.system, self.variant, self.precision.value, f"pad{self.batch}" if self.padded else "")
        return " ".join(w for w in words if w)
