"""Finds the largest cells that cuDNN runs persistently, by asking it for one size after another.

cuDNN's documentation names no limits: whether an algorithm takes a size depends on the GPU and the batch.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks.atomic import write_text
from benchmarks.cells import CellKind
from benchmarks.peers.catalogue import CUDNN_ALGORITHMS
from benchmarks.peers.inputs import Csr, PeerInputs
from benchmarks.peers.library import PeerLibrary
from benchmarks.peers.outcome import Precision, Refused, Timing

STATIC = ("persist_static", "persist_static_small_h")
DYNAMIC = "persist_dynamic"
_SIZES = range(256, 4096 + 1, 64)
# The dynamic algorithm builds kernels for every size, for seconds.
_DYNAMIC_SIZES = range(256, 4096 + 1, 256)
_DYNAMIC_WEIGHTS = 24_000_000
# Support may have gaps: so many sizes above the first that is refused are tried as well.
_BEYOND = 3
_STEPS = 64
_BRIEF = Timing(warmups=1, repeats=3, least_repeats=3)

# Why an algorithm does not take a size; empty where it does.
RefusalOf = Callable[[int], str]


class ContextLost(Exception):
    """An algorithm broke the process's context."""


@dataclass(frozen=True, slots=True)
class Limit:
    """The largest ``hidden`` that an algorithm takes with ``batch`` columns, 0 where it takes none.

    ``refusal`` says what came of the next size.
    """

    cell: str
    algorithm: str
    batch: int
    hidden: int
    refusal: str


def largest(refusal_of: RefusalOf, sizes: Sequence[int]) -> tuple[int, str]:
    """The largest of the ascending ``sizes`` that is taken, 0 for none, and the next one's refusal.

    By bisection, as if all sizes below a taken one were taken; a gap above it is looked over.
    """
    refusals: dict[int, str] = {}

    def is_taken(place: int) -> bool:
        if place not in refusals:
            refusals[place] = refusal_of(sizes[place])
        return not refusals[place]

    low, high = -1, len(sizes)
    while True:
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if is_taken(middle) else (low, middle)
        beyond = [i for i in range(high + 1, min(high + 1 + _BEYOND, len(sizes))) if is_taken(i)]
        if not beyond:
            break
        low, high = beyond[-1], len(sizes)
    return (sizes[low] if low >= 0 else 0), refusals.get(high, "the largest size that was tried")


def search(library: PeerLibrary, kinds: Iterable[CellKind], batches: Sequence[int]) -> list[Limit]:
    """The limits of every persistent algorithm in fp16. Raises ContextLost."""
    limits = []
    for kind in kinds:
        for batch in batches:
            for algorithm in (*STATIC, DYNAMIC):
                asking = _Asking(library, kind, batch, algorithm)
                limit = Limit(kind.name, algorithm, batch, *largest(asking.refusal_of, asking.sizes()))
                told = f"up to H={limit.hidden}; then {limit.refusal}"
                print(f"{kind.name} B={batch} {algorithm}: {told}", flush=True)
                limits.append(limit)
    return limits


@dataclass(frozen=True, slots=True)
class _Asking:
    """One algorithm asked to run one cell and batch at many sizes."""

    library: PeerLibrary
    kind: CellKind
    batch: int
    algorithm: str

    def sizes(self) -> Sequence[int]:
        if self.algorithm != DYNAMIC:
            return _SIZES
        return [h for h in _DYNAMIC_SIZES if len(self.kind.gates) * h * h <= _DYNAMIC_WEIGHTS]

    def refusal_of(self, hidden: int) -> str:
        """The dynamic one takes sizes that do not fit on the chip, too: it must beat the standard one."""
        inputs = _silence(self.kind, hidden, self.batch)
        try:
            us = self._time(inputs, self.algorithm)
            standard_us = self._time(inputs, "standard") if self.algorithm == DYNAMIC else us
        except Refused as error:
            return " ".join(str(error).split())
        return f"slower than standard: {us:.1f} us against {standard_us:.1f} us" if us > standard_us else ""

    def _time(self, inputs: PeerInputs, algorithm: str) -> float:
        try:
            return self.library.cudnn(inputs, _BRIEF, CUDNN_ALGORITHMS[algorithm]).median_us
        finally:
            if not self.library.device_is_well():
                size = f"{inputs.kind.name} H={inputs.hidden}"
                raise ContextLost(f"cudnn {algorithm} broke the GPU's context at {size}")


def _silence(kind: CellKind, hidden: int, batch: int) -> PeerInputs:
    """A cell of zeros: which sizes are taken does not depend on the numbers."""
    gates = len(kind.gates)
    none = Csr(np.zeros(1, np.int32), np.zeros(0, np.int32), np.zeros(0, np.float16))
    return PeerInputs(
        kind,
        Precision.FP16,
        np.zeros((gates, hidden, hidden), np.float16),
        None,
        np.zeros((gates, hidden), np.float16),
        np.zeros((_STEPS, batch, hidden), np.float16),
        none,
    )


def save_limits(path: Path, made_by: str, limits: Sequence[Limit]) -> None:
    """``made_by``: what the limits hold for, the GPU and the library's version."""
    stored = {"made_by": made_by, "limits": [asdict(limit) for limit in limits]}
    write_text(path, json.dumps(stored, indent=1) + "\n")


def load_limits(path: Path, made_by: str) -> list[Limit] | None:
    """None where there is no file, or one of another GPU or library."""
    if not path.exists():
        return None
    stored = json.loads(path.read_text())
    return [Limit(**limit) for limit in stored["limits"]] if stored["made_by"] == made_by else None
