"""The measured floor of a step: what the exchange of h between the blocks alone costs.

It is read from the output of ``exchange_floor.cu``, or from a JSON list of ``{"bytes": N, "us": T}``:
T microseconds a step to exchange N bytes.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from benchmarks.cases import Case
from benchmarks.problem import STORAGE

# A whole step may take this many times its floor.
OVER_FLOOR = 1.2
_SIZES = "us a step, KB:"  # the heading of the table that exchange_floor.cu prints
_COLUMN = 8  # characters of one of its numbers


class Floors:
    def __init__(self, points: list[tuple[float, float]]) -> None:
        """``points``: (bytes, microseconds a step), any order."""
        self._points = sorted(points)

    @classmethod
    def read(cls, path: Path) -> Floors:
        """Raises ValueError for a file of neither kind."""
        text = path.read_text()
        if text.lstrip().startswith("["):
            return cls([(float(p["bytes"]), float(p["us"])) for p in json.loads(text)])
        return cls(_best_of_table(text))

    def of(self, case: Case) -> float | None:
        """A case's floor: every block gets h of every column."""
        return self.at(exchange_bytes(case.hidden, case.batch, case.dtype))

    def at(self, size: int) -> float | None:
        """Between two measured sizes on a straight line; None outside of what was measured."""
        if not self._points or not self._points[0][0] <= size <= self._points[-1][0]:
            return None
        sizes, times = zip(*self._points, strict=True)
        return float(np.interp(size, sizes, times))


def exchange_bytes(hidden: int, batch: int, dtype: str) -> int:
    """Bytes that one exchange of h brings to every block."""
    return int(hidden * batch * STORAGE[dtype].itemsize)


def _best_of_table(text: str) -> list[tuple[float, float]]:
    """The smallest time of every size, over all ways to exchange that gave right results."""
    lines = text.splitlines()
    heading = next((i for i, line in enumerate(lines) if line.startswith(_SIZES)), None)
    if heading is None:
        raise ValueError(f"no line begins with '{_SIZES}'")
    sizes = [int(word) for word in lines[heading].removeprefix(_SIZES).split()]
    best: dict[int, float] = {}
    for line in lines[heading + 1 :]:
        if line.endswith("FAILED"):
            continue
        for size, time in zip(sizes, _numbers(line, len(sizes)), strict=True):
            if time is not None:
                best[size] = min(time, best.get(size, time))
    return [(size * 1024.0, time) for size, time in best.items()]


def _numbers(line: str, count: int) -> list[float | None]:
    """The last ``count`` columns of a line: None where one says that it was refused."""
    found: list[float | None] = []
    for i in range(count, 0, -1):
        end = len(line) - (i - 1) * _COLUMN
        word = line[max(0, end - _COLUMN) : end].strip()
        found.append(None if word in ("", "refused") else float(word))
    return found
