"""What a device can do for a Layer. The Layer drives; a device moves bytes and launches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from numpy.typing import NDArray

from sprnn_runtime.manifest import Fill, Gemm, Kernel

Memory = Any
"""A device's own handle of memory that it allocated."""


class Prepared(Protocol):
    """A launch on one stream whose arguments stay from call to call, but for those that are set anew."""

    def set(self, index: int, memory: Memory) -> None:
        """Gives the argument at ``index`` other memory, from the next call on."""

    def __call__(self) -> None:
        """Enqueues it."""


class Sides(Protocol):
    """The stream on which this was made, and others beside it for what may run at once."""

    def on(self, number: int) -> AbstractContextManager[None]:
        """Inside, everything is enqueued on one of them; 0 is the stream itself."""

    def begin(self) -> None:
        """What comes on the others waits for everything before on the stream."""

    def end(self) -> None:
        """What comes on the stream waits for everything on the others."""


class Device(Protocol):
    """Memory and launches in stream order."""

    name: str
    hardware: str
    default_budget_ns: int

    def active(self) -> AbstractContextManager[None]:
        """What all of the following happens inside; the caller's own GPU context is as before afterwards."""

    def allocate(self, size_bytes: int) -> Memory:
        """Uninitialised memory."""

    def fill(self, memory: Memory, size_bytes: int, fill: Fill) -> None:
        """Sets the first ``size_bytes`` to all ones or all zeros."""

    def upload(self, memory: Memory, array: NDArray[Any]) -> None:
        """Copies a C-contiguous array to the start of ``memory``."""

    def deal(self, array: NDArray[Any]) -> Memory:
        """New memory that holds a C-contiguous array; of several devices, each has its part of the rows."""

    def download(self, memory: Memory, array: NDArray[Any]) -> None:
        """Fills ``array`` from the start of ``memory``; waits for everything before it."""

    def offset(self, memory: Memory, offset_bytes: int) -> Memory:
        """The same memory from ``offset_bytes`` on, as a kernel argument."""

    def accepts(self, array: Any) -> bool:
        """Whether ``array`` lies where this device can read it in place."""

    def borrow(self, array: Any, shape: tuple[int, ...], dtype: str = "float32") -> Memory:
        """The memory of such an array of ``shape``, not copied; to be kept while the device uses it."""

    def lend(self, memory: Memory, shape: tuple[int, ...]) -> Any:
        """A float32 array over ``memory`` for other libraries."""

    def copy(self, to: Memory, source: Memory, size_bytes: int) -> None:
        """Copies device memory."""

    def timed_us(self, work: Callable[[], None]) -> float:
        """Microseconds that the device takes for what ``work`` launches."""

    def launch(self, kernel: Kernel, args: Sequence[Any]) -> None:
        """Launches; arguments are memory handles and NumPy scalars."""

    def prepare(self, kernel: Kernel, args: Sequence[Any]) -> Prepared:
        """The same, on the current stream, to be repeated."""

    def prepare_product(
        self, gemm: Gemm, factors: tuple[Memory, Memory, Memory], columns: int, *, exact: bool
    ) -> Prepared:
        """``multiply`` of weight, operand and product, on the current stream, to be repeated."""

    def capturing(self, stream: int | None) -> bool:
        """Whether launches on the caller's ``stream`` go into a graph that is being captured."""

    def multiplies(self, gemm: Gemm, *, exact: bool) -> bool:
        """Whether this device has a library for that product."""

    def multiply(
        self, gemm: Gemm, weight: Memory, operand: Memory, product: Memory, columns: int, *, exact: bool
    ) -> None:
        """The product that ``gemm`` describes, of ``columns`` = T * B columns.

        ``weight`` is float32 [rows, cols], rows ``weight_stride(cols)`` apart. ``exact``: in fp32 throughout.
        """

    def on(self, stream: int | None) -> AbstractContextManager[None]:
        """Inside, everything is enqueued on the caller's ``stream``, a handle; None is the device's own."""

    def sides(self, count: int) -> Sides:
        """``count`` streams in all: the current one, and others beside it."""

    def holds(self, blocks: int) -> bool:
        """Whether so many blocks of several kernels, each on an SM of its own, are resident at once."""

    def synchronise(self) -> None:
        """Waits for everything that was launched or copied."""

    def close(self) -> None:
        """Frees everything."""
