"""Runs CUDA C on the CPU: one fiber a GPU thread, over code that ``sim_build`` compiled."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sprnn_runtime.build_cache import BuildCache
from sprnn_runtime.errors import DeviceError, InputError
from sprnn_runtime.sim_build import WRONG_ARGUMENTS, build

Arguments = Sequence[NDArray[Any] | np.generic]
DEADLOCK_ROUNDS = 200
STORE_DELAY = 3
LIMIT_SECONDS = 600.0
_MAX_STACK_BYTES = 16 << 30  # of all threads together
_REPORT_BYTES = 8192


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
        self._library, self._frame_bytes = build(
            source, self._kernels, BuildCache.of_user(cache_dir), defines
        )

    def launch(
        self,
        kernel: str,
        *,
        grid: int,
        block: int,
        shared_bytes: int,
        args: Arguments,
        beside: Sequence[Arguments] = (),
        seed: int = 0,
        deadlock_rounds: int = DEADLOCK_ROUNDS,
        store_delay: int = STORE_DELAY,
        limit_seconds: float | None = None,
    ) -> LaunchStats:
        """Runs ``kernel`` to its end. Arrays are passed by pointer (C-contiguous, written in place),
        scalars as NumPy scalars of the argument's type.

        ``beside``: the arguments of further devices, each of which launches the same grid at the same time.
        ``seed`` draws the schedule; 0 has no stalls. ``deadlock_rounds`` 0 turns the detector off.
        ``limit_seconds``: wall time that the launch may take, ``$SPRNNC_SIM_SECONDS`` or 600 by default.
        Raises SimError with a report when threads dead-lock, diverge at a barrier or take longer.
        """
        devices = [args, *beside]
        self._check_stacks(kernel, len(devices) * grid * block)
        limit = time_limit() if limit_seconds is None else limit_seconds
        cells, pointers = [], []
        for arg in chain.from_iterable(devices):
            cell = _argument(arg)
            cells.append(cell)
            pointers.append(ctypes.cast(ctypes.pointer(cell), ctypes.c_void_p))
        report = ctypes.create_string_buffer(_REPORT_BYTES)
        stats = (ctypes.c_uint64 * 2)()
        status = self._library.sprnn_sim_launch(
            self._kernels.index(kernel),
            len(args),
            len(devices),
            ctypes.c_uint(grid),
            ctypes.c_uint(block),
            ctypes.c_size_t(shared_bytes),
            (ctypes.c_void_p * len(pointers))(*pointers),
            ctypes.c_uint(seed),
            ctypes.c_uint(deadlock_rounds),
            ctypes.c_uint(store_delay),
            ctypes.c_size_t(self._frame_bytes),
            ctypes.c_double(limit),
            report,
            ctypes.c_size_t(_REPORT_BYTES),
            stats,
        )
        if status == WRONG_ARGUMENTS:
            raise SimError("E610", f"sim: kernel '{kernel}' does not take {len(args)} arguments")
        if status:
            raise SimError(
                "E610", f"sim: kernel '{kernel}' with seed {seed}: {report.value.decode(errors='replace')}"
            )
        return LaunchStats(stats[0], stats[1])

    def _check_stacks(self, kernel: str, threads: int) -> None:
        needed = threads * self._frame_bytes
        if needed > _MAX_STACK_BYTES:
            raise SimError(
                "E610",
                f"sim: kernel '{kernel}' keeps {self._frame_bytes} bytes in each of its {threads} threads, "
                f"{needed} in all; sim has {_MAX_STACK_BYTES}",
                "more blocks or threads, or a smaller batch, leave each thread fewer units",
            )


def time_limit() -> float:
    """Wall seconds that a launch may take. Raises InputError E618 for a bad ``$SPRNNC_SIM_SECONDS``."""
    text = os.environ.get("SPRNNC_SIM_SECONDS", "")
    try:
        limit = float(text) if text else LIMIT_SECONDS
    except ValueError:
        limit = 0.0
    if not 0 < limit < 1e9:
        raise InputError("E618", f"SPRNNC_SIM_SECONDS is '{text}'", "give the seconds a launch may take")
    return limit


def _argument(arg: NDArray[Any] | np.generic) -> Any:
    if isinstance(arg, np.ndarray):
        if not arg.flags.c_contiguous:
            raise ValueError("sim passes arrays by pointer: they must be C-contiguous")
        return ctypes.c_void_p(arg.ctypes.data)
    scalar: Any = np.ctypeslib.as_ctypes_type(arg.dtype)  # type: ignore[arg-type]
    return scalar(arg.item())
