"""Runs CUDA C on the CPU: g++ compiles it against ``device/cuda_on_cpu.hpp``, one fiber a GPU thread."""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sprnn_runtime.errors import DeviceError, SprnnError, Unavailable

DEADLOCK_ROUNDS = 200
STORE_DELAY = 3
_FLAGS = ("-std=c++17", "-O1", "-shared", "-fPIC", "-w", "-ffp-contract=off")
_HEADERS = ("cuda_on_cpu.hpp", "fibers.hpp")
_REPORT_BYTES = 8192
_WRONG_ARGUMENTS = 2  # what the entry point returns for a call that it cannot make


class SimError(DeviceError):
    """A kernel dead-locked or diverged; the message is the simulator's report."""


@dataclass(frozen=True, slots=True)
class LaunchStats:
    """What a launch took: fiber switches and scheduler rounds."""

    switches: int
    rounds: int


class Simulator:
    """Kernels of one source, ready to launch. Building is cached by everything that goes into it."""

    def __init__(
        self,
        source: str,
        kernels: Sequence[str],
        *,
        cache_dir: Path | None = None,
        defines: Sequence[str] = (),
    ) -> None:
        """``kernels``: names of ``extern "C" __global__`` functions in ``source``.

        Raises Unavailable E503 without g++ or a folder to build in, SprnnError E504 with g++'s text if
        the source does not compile.
        """
        self._kernels = tuple(kernels)
        self._library = ctypes.CDLL(
            str(_build(_unit(source, self._kernels), cache_dir or cache_folder(), defines))
        )

    def launch(
        self,
        kernel: str,
        *,
        grid: int,
        block: int,
        shared_bytes: int,
        args: Sequence[NDArray[Any] | np.generic],
        seed: int = 0,
        deadlock_rounds: int = DEADLOCK_ROUNDS,
        store_delay: int = STORE_DELAY,
    ) -> LaunchStats:
        """Runs ``kernel`` to its end. Arrays are passed by pointer (C-contiguous, written in place),
        scalars as NumPy scalars of the argument's type.

        ``seed`` draws the schedule; 0 has no stalls. ``deadlock_rounds`` 0 turns the detector off.
        Raises SimError with a report when threads dead-lock or diverge at a barrier.
        """
        cells, pointers = [], []
        for arg in args:
            cell = _argument(arg)
            cells.append(cell)
            pointers.append(ctypes.cast(ctypes.pointer(cell), ctypes.c_void_p))
        report = ctypes.create_string_buffer(_REPORT_BYTES)
        stats = (ctypes.c_uint64 * 2)()
        status = self._library.sprnn_sim_launch(
            self._kernels.index(kernel),
            len(args),
            ctypes.c_uint(grid),
            ctypes.c_uint(block),
            ctypes.c_size_t(shared_bytes),
            (ctypes.c_void_p * len(pointers))(*pointers),
            ctypes.c_uint(seed),
            ctypes.c_uint(deadlock_rounds),
            ctypes.c_uint(store_delay),
            report,
            ctypes.c_size_t(_REPORT_BYTES),
            stats,
        )
        if status == _WRONG_ARGUMENTS:
            raise SimError("E610", f"sim: kernel '{kernel}' does not take {len(args)} arguments")
        if status:
            raise SimError(
                "E610", f"sim: kernel '{kernel}' with seed {seed}: {report.value.decode(errors='replace')}"
            )
        return LaunchStats(stats[0], stats[1])


def _argument(arg: NDArray[Any] | np.generic) -> Any:
    if isinstance(arg, np.ndarray):
        if not arg.flags.c_contiguous:
            raise ValueError("sim passes arrays by pointer: they must be C-contiguous")
        return ctypes.c_void_p(arg.ctypes.data)
    scalar: Any = np.ctypeslib.as_ctypes_type(arg.dtype)  # type: ignore[arg-type]
    return scalar(arg.item())


def _unit(source: str, kernels: Sequence[str]) -> str:
    """One translation unit: the headers, the kernels, and an entry point that launches one by number."""
    cases = "\n".join(
        f"    case {i}:\n"
        f"      if (count != sprnn_sim::arity({k})) return {_WRONG_ARGUMENTS};\n"
        f"      kernel = sprnn_sim::bind({k}, args);\n"
        f"      break;"
        for i, k in enumerate(kernels)
    )
    return f"""#define SPRNN_SIM 1
#include "cuda_on_cpu.hpp"
#line 1 "kernel.cu"
{source}
#line 1 "launch.cpp"
extern "C" int sprnn_sim_launch(int index, int count, unsigned grid, unsigned threads, size_t shared_bytes,
                                void** args, unsigned seed, unsigned deadlock_rounds, unsigned store_delay,
                                char* report, size_t report_bytes, uint64_t* statistics) {{
  std::function<void()> kernel;
  switch (index) {{
{cases}
    default: return {_WRONG_ARGUMENTS};
  }}
  const std::string why = sprnn_sim::launch(kernel, grid, threads, shared_bytes,
                                            {{seed, deadlock_rounds, store_delay}}, statistics);
  std::snprintf(report, report_bytes, "%s", why.c_str());
  return !why.empty();
}}
"""


def _build(unit: str, folder: Path, defines: Sequence[str]) -> Path:
    """The shared library of ``unit``: from the cache, or compiled and put there whole."""
    compiler = shutil.which("g++")
    if compiler is None:
        raise Unavailable(
            "E503", "device sim needs g++, and there is none", "install g++ (Debian: apt-get install g++)"
        )
    headers = {name: _device_file(name) for name in _HEADERS}
    flags = (*_FLAGS, *(f"-D{d}" for d in defines))
    key = hashlib.sha256(
        "\0".join([unit, *headers.values(), *flags, _version(compiler)]).encode()
    ).hexdigest()
    library = folder / f"sim-{key[:40]}.so"
    if library.exists():
        return library
    try:
        _compile(compiler, flags, {**headers, "unit.cpp": unit}, library)
    except OSError as error:
        raise Unavailable(
            "E503", f"device sim cannot build in {folder}: {error}", "set SPRNNC_CACHE to a folder of yours"
        ) from error
    return library


def _compile(compiler: str, flags: Sequence[str], files: Mapping[str, str], library: Path) -> None:
    """Compiles ``unit.cpp`` of ``files`` to ``library``, which appears whole or not at all."""
    library.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=library.parent) as scratch:
        for name, text in files.items():
            Path(scratch, name).write_text(text, encoding="utf-8")
        made = Path(scratch, "unit.so")
        done = subprocess.run(
            [compiler, *flags, "unit.cpp", "-o", str(made)],
            cwd=scratch,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SprnnError("E504", f"g++ refused the kernel:\n{done.stderr[:4000]}")
        os.replace(made, library)


@cache
def _version(compiler: str) -> str:
    return subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True).stdout


@cache
def _device_file(name: str) -> str:
    return resources.files("sprnn_runtime.device").joinpath(name).read_text(encoding="utf-8")


def cache_folder() -> Path:
    """``$SPRNNC_CACHE``, or ``sprnnc`` in the user's cache folder."""
    if chosen := os.environ.get("SPRNNC_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sprnnc"
