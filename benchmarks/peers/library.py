"""The CUDA peers, through ctypes: the Python half of peers.h."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.cells import CellKind
from benchmarks.peers.build import installed_wheels
from benchmarks.peers.inputs import PeerInputs
from benchmarks.peers.outcome import Measured, Precision, Refused, Timing

CELLS = {CellKind.RNN: 0, CellKind.LSTM: 1, CellKind.GRU: 2}
PRECISIONS = {Precision.FP16: 0, Precision.TF32: 1, Precision.FP32: 2}
_REFUSAL_BYTES = 512


class _Problem(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int32) for name in ("cell", "precision", "hidden", "batch", "steps")),
        *((name, ctypes.c_void_p) for name in ("recurrent", "input_weights", "bias", "x")),
        *((name, ctypes.c_void_p) for name in ("row_offsets", "columns", "values")),
        ("nonzeros", ctypes.c_int64),
    )


class _Timing(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int32) for name in ("warmups", "repeats", "least_repeats")),
        ("patience_ms", ctypes.c_float),
    )


class _Result(ctypes.Structure):
    _fields_ = (
        ("y", ctypes.c_void_p),
        ("times_us", ctypes.c_void_p),
        ("count", ctypes.c_int32),
        ("refusal", ctypes.c_char * _REFUSAL_BYTES),
    )


class PeerLibrary:
    """A loaded build of the CUDA peers. Its methods raise Refused with the library's own words."""

    def __init__(self, path: Path) -> None:
        """Raises Refused where the library or one that it needs cannot be loaded."""
        _preload_compilers()
        try:
            self._library = ctypes.CDLL(str(path.resolve()))  # a bare name would be looked up elsewhere
        except OSError as error:
            raise Refused(f"cannot load {path.name}: {error}") from error

    def cudnn(self, inputs: PeerInputs, timing: Timing, algorithm: int) -> Measured:
        """``algorithm`` is a cudnnRNNAlgo_t."""
        return self._run(self._library.peer_cudnn, inputs, timing, algorithm)

    def cublas_graph(self, inputs: PeerInputs, timing: Timing) -> Measured:
        return self._run(self._library.peer_cublas_graph, inputs, timing)

    def cusparse_graph(self, inputs: PeerInputs, timing: Timing, algorithm: int) -> Measured:
        """``algorithm`` is a cusparseSpMMAlg_t."""
        return self._run(self._library.peer_cusparse_graph, inputs, timing, algorithm)

    def device_is_well(self) -> bool:
        """False once an illegal access has broken this process's context."""
        return int(self._library.peer_device_status()) == 0

    def _run(self, function: Any, inputs: PeerInputs, timing: Timing, *algorithm: int) -> Measured:
        y = np.empty_like(inputs.x)
        times = np.zeros(timing.repeats, np.float32)
        sparse = inputs.sparse
        problem = _Problem(
            CELLS[inputs.kind],
            PRECISIONS[inputs.precision],
            inputs.hidden,
            inputs.batch,
            inputs.steps,
            _address(inputs.recurrent),
            None if inputs.input_weights is None else _address(inputs.input_weights),
            _address(inputs.bias),
            _address(inputs.x),
            _address(sparse.row_offsets),
            _address(sparse.columns),
            _address(sparse.values),
            len(sparse.values),
        )
        limits = _Timing(timing.warmups, timing.repeats, timing.least_repeats, timing.patience_ms)
        result = _Result(_address(y), _address(times))
        failed = function(ctypes.byref(problem), ctypes.byref(limits), *algorithm, ctypes.byref(result))
        if failed:
            raise Refused(result.refusal.decode(errors="replace") or "no reason given")
        return Measured(y.astype(np.float32), tuple(float(t) for t in times[: result.count]))


def _address(array: NDArray[Any]) -> int:
    assert array.flags.c_contiguous
    return int(array.ctypes.data)


def _preload_compilers() -> None:
    """Loads NVRTC, which cuDNN's dynamic algorithm looks up by name when it builds its kernels."""
    try:
        folders = installed_wheels()
    except Exception:  # no wheels: then the loader's own paths must do
        return
    for folder in folders:
        for file in sorted((folder / "lib").glob("libnvrtc.so.*")):
            try:
                ctypes.CDLL(str(file), mode=ctypes.RTLD_GLOBAL)
            except OSError:
                continue
