"""Our side of a row: the prepared artifact on the GPU, its outputs checked before it is timed."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType

import numpy as np
import sprnn_runtime
from sprnn_runtime import SprnnError

from benchmarks.prepare import Prepared
from benchmarks.problem import Float32, Float64, relative_error

# A larger error is another function, not a rounding.
WRONG = {"fp32": 1e-4, "fp16": 2e-2, "bf16": 1e-1}


class NotMeasured(Exception):
    """Why there is no time: the compiler refused, the kernel failed, or its outputs are wrong."""


@dataclass(eq=False)
class Ours:
    """One artifact on the GPU; ``error`` is ||y - reference|| / ||reference||."""

    layer: sprnn_runtime.Layer
    x: Float32
    error: float
    times_us: list[float] = field(default_factory=list)

    @classmethod
    def open(cls, prepared: Prepared, x: Float32, expected: Float64, dtype: str) -> Ours:
        """Loads the artifact and checks its outputs. Raises NotMeasured."""
        if prepared.refusal:
            raise NotMeasured(prepared.refusal)
        try:
            layer = sprnn_runtime.load(prepared.artifact, "cuda")
        except SprnnError as error:
            raise NotMeasured(_one_line(error)) from error
        try:
            y, _ = layer(x)
        except SprnnError as error:
            _close(layer)
            raise NotMeasured(_one_line(error)) from error
        difference = relative_error(np.asarray(y), expected)
        if not difference <= WRONG[dtype]:
            _close(layer)
            raise NotMeasured(f"wrong outputs: relative error {difference:.3g}")
        return cls(layer, x, difference)

    def time(self, repeats: int) -> None:
        """Adds the microseconds a step of ``repeats`` calls. Raises NotMeasured."""
        try:
            self.times_us += self.layer.time_us(self.x, repeats)
        except SprnnError as error:
            raise NotMeasured(_one_line(error)) from error

    def __enter__(self) -> Ours:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _close(self.layer)


def _close(layer: sprnn_runtime.Layer) -> None:
    """A broken context cannot be closed either; what broke it has been reported."""
    with suppress(SprnnError):
        layer.close()


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
