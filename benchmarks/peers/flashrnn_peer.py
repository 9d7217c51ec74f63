"""FlashRNN peer (the package ``flashrnn``): bf16, the batch padded to a multiple of 8.

Its fused kernel where it has one; for a GRU it has cuBLAS products and elementwise kernels in turn.

It compiles its kernel for minutes and tries several on the GPU, so it runs in a process of its own:
whatever happens to that one, this process goes on.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cells import CellKind
from benchmarks.peers.build import BuildError, find_nvcc, installed_wheels
from benchmarks.peers.inputs import PeerInputs
from benchmarks.peers.outcome import Measured, Refused, Timing

FUNCTIONS = {CellKind.RNN: "elman", CellKind.LSTM: "lstm", CellKind.GRU: "gru"}
_ROOT = Path(__file__).parents[2]


def run(seconds: float, inputs: PeerInputs, timing: Timing) -> Measured:
    """Raises Refused for what its kernels do not take, and after ``seconds``."""
    with tempfile.TemporaryDirectory() as folder:
        question, answer = Path(folder) / "question.npz", Path(folder) / "answer.npz"
        _write_question(question, inputs, timing)
        log = _run_child(question, answer, Path(folder), seconds)
        if not answer.exists():
            raise Refused(_last_line(log) or "its process ended without a word")
        with np.load(answer, allow_pickle=False) as file:
            return Measured(file["y"], tuple(float(t) for t in file["times_us"]))


def _write_question(path: Path, inputs: PeerInputs, timing: Timing) -> None:
    options = {
        "function": FUNCTIONS[inputs.kind],
        "warmups": timing.warmups,
        "repeats": timing.repeats,
    }
    arrays: dict[str, Any] = {"recurrent": inputs.recurrent, "bias": inputs.bias, "x": inputs.x}
    if inputs.input_weights is not None:
        arrays["input_weights"] = inputs.input_weights
    np.savez(path, options=np.array(json.dumps(options)), **arrays)


def _run_child(question: Path, answer: Path, folder: Path, seconds: float) -> str:
    """Runs the child and everything that it starts, for ``seconds`` at most; returns what it printed."""
    command = [sys.executable, "-m", "benchmarks.peers.flashrnn_child", str(question), str(answer)]
    with (folder / "log").open("w+") as log:
        child = subprocess.Popen(
            command, cwd=_ROOT, env=_environment(folder), stdout=log, stderr=log, start_new_session=True
        )
        try:
            child.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise Refused(f"no kernel after {seconds:.0f} s") from None
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)  # the compilers that it started, too
                child.wait()
        log.seek(0)
        return log.read()


def _environment(folder: Path) -> dict[str, str]:
    """Where its build finds CUDA, ninja, and cuBLAS if that lies in a wheel and not in the toolkit."""
    home = _cuda_home()
    environment = dict(os.environ, CUDA_HOME=str(home), CUDA_LIB=str(home / "lib64"))
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    environment["LIBRARY_PATH"] = os.pathsep.join([str(folder), os.environ.get("LIBRARY_PATH", "")])
    try:
        wheels = installed_wheels()
    except BuildError:
        return environment  # then the toolkit must have it all
    headers = [w / "include" for w in wheels if (w / "include" / "cublas_v2.h").exists()]
    if headers and not (home / "include" / "cublas_v2.h").exists():
        environment["FLASHRNN_EXTRA_INCLUDE_PATHS"] = str(headers[0])
    libraries = [file for w in wheels for file in (w / "lib").glob("libcublas.so.*")]
    if libraries:  # the linker looks for a name without a version
        (folder / "libcublas.so").symlink_to(libraries[0])
    return environment


def _cuda_home() -> Path:
    """The toolkit: CUDA_HOME, its usual place, or where nvcc on PATH lies (which may be a script)."""
    candidates = [Path(os.environ.get("CUDA_HOME", "/usr/local/cuda")), Path("/usr/local/cuda")]
    with suppress(BuildError):
        candidates.append(Path(find_nvcc()).resolve().parents[1])
    for home in candidates:
        if (home / "bin" / "nvcc").exists() and (home / "include" / "cuda_runtime.h").exists():
            return home
    raise Refused("its build needs a CUDA toolkit: set CUDA_HOME")


def _last_line(log: str) -> str:
    """The error that a traceback ends with."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""
