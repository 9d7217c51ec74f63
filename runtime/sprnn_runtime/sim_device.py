"""Device ``sim``: the artifact's own CUDA C on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sprnn_runtime.errors import Unavailable
from sprnn_runtime.manifest import Fill, Gemm, Kernel
from sprnn_runtime.prepared import Repeated
from sprnn_runtime.sim import DEADLOCK_ROUNDS, Simulator

_POISON = 0xCB


class OneOrder:
    """Sides of a device that does one thing after another."""

    def on(self, number: int) -> AbstractContextManager[None]:
        del number
        return nullcontext()

    def begin(self) -> None:
        """There is nothing to wait for."""

    end = begin


class SimDevice:
    """Memory is byte arrays; fresh memory is poisoned, so that reading what nobody wrote shows."""

    name = "sim"
    hardware = "simulator"
    default_budget_ns = 1 << 62  # the dead-lock detector speaks first

    def __init__(
        self, source: str, kernels: Sequence[Kernel], seed: int = 0, deadlock_rounds: int = DEADLOCK_ROUNDS
    ) -> None:
        self._simulator = Simulator(source, [k.name for k in kernels])
        self._seed = seed
        self._deadlock_rounds = deadlock_rounds

    def active(self) -> AbstractContextManager[None]:
        return nullcontext()

    def allocate(self, size_bytes: int) -> NDArray[np.uint8]:
        aligned = np.full(size_bytes + 64, _POISON, np.uint8)
        start = -aligned.ctypes.data % 64
        return aligned[start : start + size_bytes]

    def fill(self, memory: NDArray[np.uint8], size_bytes: int, fill: Fill) -> None:
        memory[:size_bytes] = fill.byte

    def upload(self, memory: NDArray[np.uint8], array: NDArray[Any]) -> None:
        memory[: array.nbytes] = array.reshape(-1).view(np.uint8)

    def deal(self, array: NDArray[Any]) -> NDArray[np.uint8]:
        memory = self.allocate(array.nbytes)
        self.upload(memory, array)
        return memory

    def download(self, memory: NDArray[np.uint8], array: NDArray[Any]) -> None:
        array.reshape(-1).view(np.uint8)[:] = memory[: array.nbytes]

    def offset(self, memory: NDArray[np.uint8], offset_bytes: int) -> NDArray[np.uint8]:
        return memory[offset_bytes:]

    def launch(self, kernel: Kernel, args: Sequence[Any], beside: Sequence[Sequence[Any]] = ()) -> None:
        self._simulator.launch(
            kernel.name,
            grid=kernel.grid,
            block=kernel.block,
            shared_bytes=kernel.shared_bytes,
            args=args,
            beside=beside,
            seed=self._seed,
            deadlock_rounds=self._deadlock_rounds,
        )

    def prepare(self, kernel: Kernel, args: Sequence[Any]) -> Repeated:
        return Repeated(partial(self.launch, kernel), args)

    def prepare_product(
        self, gemm: Gemm, factors: tuple[Any, Any, Any], columns: int, *, exact: bool
    ) -> Repeated:
        return Repeated(lambda now: self.multiply(gemm, *now, columns, exact=exact), factors)

    def capturing(self, stream: int | None) -> bool:
        del stream
        return False

    def accepts(self, array: Any) -> bool:
        del array
        return False  # NumPy arrays take the ordinary way

    def borrow(self, array: Any, shape: tuple[int, ...], dtype: str = "float32") -> NDArray[np.uint8]:
        raise TypeError("device sim borrows no arrays")

    def lend(self, memory: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.float32]:
        return memory[: int(np.prod(shape)) * 4].view(np.float32).reshape(shape)

    def copy(self, to: NDArray[np.uint8], source: NDArray[np.uint8], size_bytes: int) -> None:
        to[:size_bytes] = source[:size_bytes]

    def timed_us(self, work: Callable[[], None]) -> float:
        raise Unavailable("E615", "device sim has no time worth measuring", "time on device cuda")

    def multiplies(self, gemm: Gemm, *, exact: bool) -> bool:
        del gemm, exact
        return False  # the kernels are what is simulated

    def multiply(self, *_: Any, **__: Any) -> None:
        raise NotImplementedError

    def on(self, stream: int | None) -> AbstractContextManager[None]:
        del stream
        return nullcontext()  # there is one order only

    def sides(self, count: int) -> OneOrder:
        del count
        return OneOrder()

    def holds(self, blocks: int) -> bool:
        del blocks
        return True  # each kernel runs to its end

    def synchronise(self) -> None:
        """Everything has been done when its call returns."""

    def close(self) -> None:
        """Nothing to free."""
