"""A problem as one peer takes it: stored in a precision, its batch padded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.cells import CellKind
from benchmarks.peers.outcome import Precision
from benchmarks.problem import Problem


@dataclass(frozen=True, slots=True, eq=False)
class Csr:
    """Compressed rows: int32 ``row_offsets`` [rows + 1], ``columns`` and float32 ``values`` [non-zeros]."""

    row_offsets: NDArray[np.int32]
    columns: NDArray[np.int32]
    values: NDArray[Any]

    @classmethod
    def of(cls, matrix: NDArray[np.float32]) -> Csr:
        rows, width = matrix.shape
        places = np.flatnonzero(matrix)
        per_row = np.bincount(places // width, minlength=rows)
        offsets = np.concatenate([[0], np.cumsum(per_row)]).astype(np.int32)
        return cls(offsets, (places % width).astype(np.int32), matrix.reshape(-1)[places])


@dataclass(frozen=True, slots=True, eq=False)
class PeerInputs:
    """Arrays in the peer's storage: float16 for FP16, else float32 (BF16 converts on the device).

    ``recurrent`` [gates, H, H], ``input_weights`` the same or None, ``bias`` [gates, H],
    ``x`` [T, B, H], ``sparse`` the recurrent matrices [gates * H, H] again.
    """

    kind: CellKind
    precision: Precision
    recurrent: NDArray[Any]
    input_weights: NDArray[Any] | None
    bias: NDArray[Any]
    x: NDArray[Any]
    sparse: Csr

    @property
    def steps(self) -> int:
        return int(self.x.shape[0])

    @property
    def batch(self) -> int:
        return int(self.x.shape[1])

    @property
    def hidden(self) -> int:
        return int(self.x.shape[2])


class InputStore:
    """Makes the inputs of a problem's peers; large conversions are kept for the next peer."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._stored: dict[str, PeerInputs] = {}
        self._sparse: Csr | None = None

    def inputs(self, precision: Precision, batch: int) -> PeerInputs:
        """The inputs with the case's columns repeated up to ``batch``."""
        stored = self._in_storage(np.dtype(np.float16 if precision is Precision.FP16 else np.float32))
        columns = np.arange(batch) % self._problem.case.batch
        return replace(stored, precision=precision, x=np.ascontiguousarray(stored.x[:, columns]))

    def _in_storage(self, dtype: np.dtype[Any]) -> PeerInputs:
        if dtype.name not in self._stored:
            p = self._problem
            if self._sparse is None:
                self._sparse = Csr.of(p.recurrent.reshape(-1, p.case.hidden))
            self._stored[dtype.name] = PeerInputs(
                p.case.kind,
                Precision.FP32,
                np.ascontiguousarray(p.recurrent, dtype),
                None if p.input_weights is None else np.ascontiguousarray(p.input_weights, dtype),
                np.ascontiguousarray(p.bias, dtype),
                np.ascontiguousarray(p.x, dtype),
                replace(self._sparse, values=self._sparse.values.astype(dtype)),
            )
        return self._stored[dtype.name]
