"""Device ``cuda``: launches an artifact's cubin through the CUDA driver API."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sprnn_runtime.cuda_launch import CudaLaunch
from sprnn_runtime.cuda_sides import CudaSides
from sprnn_runtime.dlpack import GpuArray, borrow_gpu_array, is_gpu_array
from sprnn_runtime.errors import DeviceError, Unavailable
from sprnn_runtime.manifest import DEFAULT_BUDGET_NS, Fill, Gemm, Kernel
from sprnn_runtime.prepared import Repeated
from sprnn_runtime.stream_handle import LEGACY_DEFAULT
from sprnn_runtime.vendor_gemm import Product, VendorGemm, find_library, weight_stride

_LONGEST_HOLD_S = 0.05


class GpuMemory:
    """Device memory at ``pointer``; freed with its last reference, unless it is a view of ``owner``."""

    def __init__(self, pointer: int, owner: object = None, free: Callable[[int], None] | None = None) -> None:
        self.pointer = pointer
        self._owner = owner
        self._free = free

    def __del__(self) -> None:
        if self._free is not None:
            self._free(self.pointer)


class _Place:
    """Where devices beside each other enqueue: ``own``, their stream, unless another is ``current``."""

    def __init__(self) -> None:
        self.own: Any = None
        self.current: Any = None
        self.sides: dict[tuple[int, int], CudaSides] = {}


class CudaDevice:
    """One GPU, one loaded module, and a stream of its own, or the caller's inside ``on``.

    Its methods are for calls inside ``active``.
    """

    name = "cuda"
    default_budget_ns = DEFAULT_BUDGET_NS

    def __init__(
        self,
        cubin: bytes | None,
        arch: str | None,
        kernels: Sequence[Kernel],
        device_id: int = 0,
        beside: CudaDevice | None = None,
    ) -> None:
        """``beside``: whose streams this device shares, on the same GPU, ``on`` included; it must be closed
        after this one.

        Raises Unavailable E602 without a GPU or a fitting cubin, DeviceError E612 where the
        kernel's blocks cannot all be resident at once."""
        if cubin is None:
            raise Unavailable("E608", "the artifact holds no GPU code", "compile with --target sm_90, say")
        self._driver = _driver()
        self._closed, self._closing = False, threading.Lock()
        self._shares_stream = beside is not None
        self._place: _Place = _Place() if beside is None else beside._place
        self._module: Any = None
        self.device_id = device_id
        self._gemm: VendorGemm | None = None
        self._workspaces: dict[int, GpuMemory] = {}  # of the library, by stream
        self._retain_context()
        with self.active():
            try:
                self._set_up(cubin, arch, kernels)
            except BaseException:
                self._release()
                raise

    @property
    def _stream(self) -> Any:
        return self._place.current

    @contextmanager
    def active(self) -> Iterator[None]:
        """Makes this device's context current, and afterwards the caller's again."""
        self._call("cuCtxPushCurrent", self._context)
        try:
            yield
        finally:
            self._driver.cuCtxPopCurrent()

    # ---- memory ----

    def allocate(self, size_bytes: int) -> GpuMemory:
        try:
            pointer = int(self._call("cuMemAlloc", max(size_bytes, 16)))
        except DeviceError as error:
            raise DeviceError(
                "E613",
                f"cannot allocate {size_bytes} bytes of GPU memory: {error.message}",
                "shorter sequences, a smaller steps_per_launch, or a GPU with more free memory",
            ) from error
        return GpuMemory(pointer, free=self._free)

    def _free(self, pointer: int) -> None:
        """Whichever thread drops the last reference: it may have another context, or none."""
        (status,) = self._driver.cuCtxPushCurrent(self._context)
        if int(status) == 0:
            self._driver.cuMemFree(pointer)  # waits for what still uses it
            self._driver.cuCtxPopCurrent()

    def fill(self, memory: GpuMemory, size_bytes: int, fill: Fill) -> None:
        self._call("cuMemsetD8Async", memory.pointer, fill.byte, size_bytes, self._stream)

    def upload(self, memory: GpuMemory, array: NDArray[Any]) -> None:
        self._call("cuMemcpyHtoDAsync", memory.pointer, array.ctypes.data, array.nbytes, self._stream)
        self._call("cuStreamSynchronize", self._stream)  # the caller may change the array afterwards

    def deal(self, array: NDArray[Any]) -> GpuMemory:
        memory = self.allocate(array.nbytes)
        self.upload(memory, array)
        return memory

    def download(self, memory: GpuMemory, array: NDArray[Any]) -> None:
        self._call("cuMemcpyDtoHAsync", array.ctypes.data, memory.pointer, array.nbytes, self._stream)
        self._call("cuStreamSynchronize", self._stream)

    def offset(self, memory: GpuMemory, offset_bytes: int) -> GpuMemory:
        return GpuMemory(memory.pointer + offset_bytes, owner=memory)

    # ---- arrays that already lie on the GPU ----

    def accepts(self, array: Any) -> bool:
        return is_gpu_array(array)

    def borrow(self, array: Any, shape: tuple[int, ...], dtype: str = "float32") -> GpuMemory:
        """The memory of a DLPack array, without a copy; its producer's work comes before ours."""
        pointer, owner = borrow_gpu_array(array, shape, self.device_id, int(self._stream), dtype)
        return GpuMemory(pointer, owner=owner)

    def lend(self, memory: GpuMemory, shape: tuple[int, ...]) -> GpuArray:
        """A float32 array over ``memory`` that other libraries take through DLPack."""
        order = partial(self._order_after, self._stream)
        return GpuArray(memory, memory.pointer, shape, self.device_id, order)

    def copy(self, to: GpuMemory, source: GpuMemory, size_bytes: int) -> None:
        self._call("cuMemcpyDtoDAsync", to.pointer, source.pointer, size_bytes, self._stream)

    def _order_after(self, made_on: Any, stream: int) -> None:
        """Makes ``stream`` wait for everything on ``made_on`` so far, unless that is the same.

        Arrays that were lent outlive the device's own stream; ``close`` has waited for what made them.
        """
        with self._closing:
            if self._closed or int(made_on) == (stream or LEGACY_DEFAULT):
                return
            with self.active():  # the consumer's thread may have another
                event = self._call("cuEventCreate", self._driver.CUevent_flags.CU_EVENT_DISABLE_TIMING)
                self._call("cuEventRecord", event, made_on)
                self._call("cuStreamWaitEvent", self._driver.CUstream(stream), event, 0)
                self._call("cuEventDestroy", event)

    # ---- launches ----

    def launch(self, kernel: Kernel, args: Sequence[Any]) -> None:
        values = tuple(a.pointer if isinstance(a, GpuMemory) else a.item() for a in args)
        kinds = tuple(
            ctypes.c_void_p if isinstance(a, GpuMemory) else np.ctypeslib.as_ctypes_type(a.dtype)
            for a in args
        )
        call = "cuLaunchCooperativeKernel" if kernel.cooperative else "cuLaunchKernel"
        tail = ((values, kinds),) if kernel.cooperative else ((values, kinds), 0)
        self._call(
            call,
            self._functions[kernel.name],
            kernel.grid,
            1,
            1,
            kernel.block,
            1,
            1,
            kernel.shared_bytes,
            self._stream,
            *tail,
        )

    def prepare(self, kernel: Kernel, args: Sequence[Any]) -> CudaLaunch:
        name = "cuLaunchCooperativeKernel" if kernel.cooperative else "cuLaunchKernel"
        grid, block = (kernel.grid, 1, 1), (kernel.block, 1, 1)
        shape = (self._functions[kernel.name], *grid, *block, kernel.shared_bytes, self._stream)
        return CudaLaunch(getattr(self._driver, name), shape, args, cooperative=kernel.cooperative)

    def prepare_product(
        self, gemm: Gemm, factors: tuple[Any, Any, Any], columns: int, *, exact: bool
    ) -> Repeated:
        assert self._gemm is not None
        library, kind = self._gemm, _kind(gemm, exact)
        place = int(self._stream), self._workspace().pointer

        def multiply(now: Sequence[GpuMemory]) -> None:
            weight, operand, product = (m.pointer for m in now)
            with _as_device_error():
                library.multiply(kind, weight, operand + 4 * gemm.first, product, columns, *place)

        return Repeated(multiply, factors)

    def capturing(self, stream: int | None) -> bool:
        if stream is None:
            return False
        return int(self._call("cuStreamIsCapturing", stream)) != 0

    @contextmanager
    def on(self, stream: int | None) -> Iterator[None]:
        """Everything inside is enqueued on ``stream``, and waits, if at all, for that one."""
        with self._current(self._place.own if stream is None else self._driver.CUstream(stream)):
            yield

    @contextmanager
    def _current(self, stream: Any) -> Iterator[None]:
        place, before = self._place, self._place.current
        place.current = stream
        try:
            yield
        finally:
            place.current = before

    def sides(self, count: int) -> CudaSides:
        key, known = (int(self._stream), count), self._place.sides
        if key not in known:
            driver = self._driver
            flags = driver.CUstream_flags.CU_STREAM_NON_BLOCKING, driver.CUevent_flags.CU_EVENT_DISABLE_TIMING
            known[key] = CudaSides(self._call, flags, self._stream, count, self._current)
        return known[key]

    def holds(self, blocks: int) -> bool:
        return blocks <= self._attribute("MULTIPROCESSOR_COUNT")

    def _open_gemm(self) -> VendorGemm | None:
        """cuBLAS; None where it cannot be had."""
        library = find_library()
        if library is None:
            return None
        with suppress(OSError, DeviceError):  # DeviceError: its workspace does not fit beside the layer
            self._workspace()
            return VendorGemm(library)
        return None

    def _workspace(self) -> GpuMemory:
        """What the library works in: each stream has its own, since products on two may run at once."""
        stream = int(self._stream)
        if stream not in self._workspaces:
            self._workspaces[stream] = self.allocate(VendorGemm.workspace_bytes)
        return self._workspaces[stream]

    def multiplies(self, gemm: Gemm, *, exact: bool) -> bool:
        if self._gemm is None:
            return False
        try:
            self._gemm.prepare(_kind(gemm, exact))
        except OSError:
            return False
        return True

    def multiply(
        self,
        gemm: Gemm,
        weight: GpuMemory,
        operand: GpuMemory,
        product: GpuMemory,
        columns: int,
        *,
        exact: bool,
    ) -> None:
        assert self._gemm is not None
        first = operand.pointer + 4 * gemm.first
        place = int(self._stream), self._workspace().pointer
        with _as_device_error():
            self._gemm.multiply(_kind(gemm, exact), weight.pointer, first, product.pointer, columns, *place)

    @contextmanager
    def _held_stream(self) -> Iterator[None]:
        """Nothing that is enqueued inside begins before the end, or before some 50 ms have passed.

        The bound is for calls that wait for the stream themselves, which would never return.
        """
        gate = self._call("cuMemHostAlloc", 4, self._driver.CU_MEMHOSTALLOC_DEVICEMAP)
        word = ctypes.c_uint32.from_address(int(gate))
        word.value = 0
        bound = threading.Timer(_LONGEST_HOLD_S, setattr, (word, "value", 1))
        bound.start()
        try:
            address = int(self._call("cuMemHostGetDevicePointer", gate, 0))
            equal = self._driver.CUstreamWaitValue_flags.CU_STREAM_WAIT_VALUE_EQ
            with suppress(DeviceError):  # where the driver has no such waits, the stream is not held
                self._call("cuStreamWaitValue32", self._stream, address, 1, int(equal))
            yield
        finally:
            bound.cancel()
            bound.join()
            word.value = 1
            self._driver.cuStreamSynchronize(self._stream)
            self._driver.cuMemFreeHost(gate)

    def timed_us(self, work: Callable[[], None]) -> float:
        """Microseconds between events around ``work`` on this device's stream.

        The stream is held until everything is enqueued, so that the processor's time does not count.
        """
        first = self._call("cuEventCreate", 0)
        last = self._call("cuEventCreate", 0)
        with self._held_stream():
            self._call("cuEventRecord", first, self._stream)
            work()
            self._call("cuEventRecord", last, self._stream)
        self._call("cuEventSynchronize", last)
        elapsed = float(self._call("cuEventElapsedTime", first, last)) * 1e3
        self._call("cuEventDestroy", first)
        self._call("cuEventDestroy", last)
        return elapsed

    def synchronise(self) -> None:
        self._call("cuStreamSynchronize", self._stream)

    def close(self) -> None:
        with self._closing:
            self._closed = True
            self._release()

    # ---- set-up ----

    def _retain_context(self) -> None:
        """The primary context. It is never given back: to make it anew takes longer than most calls."""
        count = int(self._call("cuDeviceGetCount"))
        if not 0 <= self.device_id < count:
            raise Unavailable("E602", f"there is no GPU {self.device_id}; this machine has {count}")
        self._device = self._call("cuDeviceGet", self.device_id)
        self._context = self._call("cuDevicePrimaryCtxRetain", self._device)

    def _set_up(self, cubin: bytes, arch: str | None, kernels: Sequence[Kernel]) -> None:
        self.hardware = str(self._call("cuDeviceGetName", 80, self._device).split(b"\0")[0].decode())
        self._check_arch(arch)
        if not self._shares_stream:
            flag = self._driver.CUstream_flags.CU_STREAM_NON_BLOCKING
            self._place.own = self._place.current = self._call("cuStreamCreate", flag)
        self._module = self._call("cuModuleLoadData", cubin)
        self._functions = {k.name: self._prepare(k) for k in kernels}
        if any(k.gemm for k in kernels):
            self._gemm = self._open_gemm()

    def _release(self) -> None:
        """Stream, module and library, as far as they were made."""
        if self._stream is not None:
            self._driver.cuStreamSynchronize(self._stream)
        if not self._shares_stream:
            for sides in self._place.sides.values():
                sides.close()
            self._place.sides.clear()
        if self._gemm is not None:
            self._gemm.close()
        self._gemm = None
        self._workspaces.clear()
        if self._module is not None:
            self._driver.cuModuleUnload(self._module)
        if self._stream is not None and not self._shares_stream:
            self._driver.cuStreamDestroy(self._stream)

    def _attribute(self, name: str) -> int:
        return int(
            self._call(
                "cuDeviceGetAttribute",
                getattr(self._driver.CUdevice_attribute, f"CU_DEVICE_ATTRIBUTE_{name}"),
                self._device,
            )
        )

    def _check_arch(self, arch: str | None) -> None:
        major = self._attribute("COMPUTE_CAPABILITY_MAJOR")
        minor = self._attribute("COMPUTE_CAPABILITY_MINOR")
        wanted = int((arch or "sm_0").removeprefix("sm_").rstrip("af"))
        if wanted // 10 != major or wanted % 10 > minor:
            raise Unavailable(
                "E609",
                f"the artifact is built for {arch}; GPU {self.device_id} is sm_{major}{minor}",
                f"compile with --target sm_{major}{minor}",
            )

    def _prepare(self, kernel: Kernel) -> Any:
        """The function of a kernel, allowed its shared memory, checked to be resident as a whole."""
        function = self._call("cuModuleGetFunction", self._module, kernel.name.encode())
        attribute = self._driver.CUfunction_attribute
        try:
            self._call(
                "cuFuncSetAttribute",
                function,
                attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                kernel.shared_bytes,
            )
        except DeviceError as error:
            raise Unavailable(
                "E611",
                f"kernel {kernel.name} needs {kernel.shared_bytes} bytes of shared memory a "
                f"block: {error.message}",
                "compile with --target of this GPU",
            ) from error
        if kernel.cooperative:
            per_sm = int(
                self._call(
                    "cuOccupancyMaxActiveBlocksPerMultiprocessor", function, kernel.block, kernel.shared_bytes
                )
            )
            resident = per_sm * self._attribute("MULTIPROCESSOR_COUNT")
            if resident < kernel.grid:
                raise DeviceError(
                    "E612",
                    f"kernel {kernel.name} needs {kernel.grid} resident blocks; this GPU holds {resident}",
                    f"compile with the schedule entry blocks = {resident}, or for the target of this GPU",
                )
        return function

    def _call(self, name: str, *args: Any) -> Any:
        """Calls the driver; returns its result, raises DeviceError E614 with the driver's words."""
        status, *results = getattr(self._driver, name)(*args)
        if int(status) != 0:
            _, text = self._driver.cuGetErrorString(status)
            words = text.decode() if text else str(status)
            raise DeviceError("E614", f"{name} failed: {words}", "the outputs are not valid")
        return results[0] if len(results) == 1 else results


@contextmanager
def _as_device_error() -> Iterator[None]:
    """The library's errors in the user's terms."""
    try:
        yield
    except OSError as error:
        raise DeviceError("E614", str(error), "the outputs are not valid") from error


def _kind(gemm: Gemm, exact: bool) -> Product:
    return Product(gemm.rows, gemm.cols, weight_stride(gemm.cols), gemm.stride, exact)


def _driver() -> Any:
    """The driver bindings, initialised. Raises Unavailable E602 where there is no driver or no GPU."""
    hint = "use device='sim' (--device sim), or run on a machine with an NVIDIA GPU and driver"
    try:
        from cuda.bindings import driver
    except ImportError as error:
        raise Unavailable(
            "E602", f"device cuda needs cuda-bindings: {error}", "pip install 'cuda-bindings==13.*'"
        ) from error
    try:
        status = int(driver.cuInit(0)[0])
    except RuntimeError as error:  # the driver library is not there
        raise Unavailable("E602", f"no CUDA driver: {error}", hint) from error
    if status != 0:
        raise Unavailable("E602", f"no usable GPU: cuInit returned {status}", hint)
    return driver
