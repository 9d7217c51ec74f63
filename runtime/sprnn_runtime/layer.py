"""A loaded artifact on a device: ``y, state = layer(x, state)``."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, assert_never

import numpy as np
from numpy.typing import NDArray

from sprnn_runtime import container, launch
from sprnn_runtime.device_protocol import Device, Memory
from sprnn_runtime.errors import DeviceError, InputError, SprnnError, Unavailable, WaitTimeout
from sprnn_runtime.manifest import Buffer, Gemm, Kernel, Manifest, Role
from sprnn_runtime.vendor_gemm import as_float32

Array = NDArray[Any]
Opened = TypeVar("Opened")
BUDGET_SPENT = 1


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """The contents of an artifact that a device needs."""

    manifest: Manifest
    source: str
    cubin: bytes | None
    constants: Mapping[str, Array]


def read(data: bytes, where: str) -> Loaded:
    """Contents of an artifact's bytes. Raises ArtifactError for anything that is not as written."""
    return read_members(*container.unpack(data, where), where)


def read_members(json: Mapping[str, Any], members: Mapping[str, bytes], where: str) -> Loaded:
    """The same of an artifact that is unpacked already."""
    manifest = Manifest.from_json(json)
    try:
        source = members["kernel.cu"].decode()
        constants = read_constants(manifest, members, where)
    except KeyError as error:
        raise container.damaged(where, f"member {error} is missing") from error
    except UnicodeDecodeError as error:
        raise container.damaged(where, f"its kernel is not text: {error}") from error
    return Loaded(manifest, source, members.get(f"kernel.{manifest.arch}.cubin"), constants)


def read_constants(manifest: Manifest, members: Mapping[str, bytes], where: str) -> dict[str, Array]:
    """What every buffer of that role holds. Raises KeyError for a member that is missing."""
    return {b.name: _constant(b, members, where) for b in manifest.buffers if b.role is Role.CONSTANT}


def _constant(buffer: Buffer, members: Mapping[str, bytes], where: str) -> Array:
    array = container.array_from_bytes(members[buffer.member], where)
    if array.shape != buffer.dims(0) or array.dtype != np.dtype(buffer.dtype):
        raise container.damaged(where, f"{buffer.member} is {array.dtype} {list(array.shape)}")
    return array


class Layer:
    """An artifact on one device. Calls are thread-safe: one at a time; use one Layer a thread to overlap."""

    def __init__(self, loaded: Loaded, device: Device) -> None:
        self.manifest = loaded.manifest
        self._device = device
        self._chunk = launch.chunk_steps(loaded.manifest)
        self._lock = threading.Lock()
        self._memory: dict[str, Memory] = {}
        self._capacity: dict[str, int] = {}
        self._closed = False
        gemms = {k.name: k.gemm for k in self.manifest.kernels if k.gemm}
        with device.active():
            try:
                self._multiplied = {n for n, g in gemms.items() if device.multiplies(g, exact=self._exact)}
                self._upload_constants(loaded.constants, [gemms[n] for n in sorted(self._multiplied)])
            except BaseException:
                device.close()
                raise

    def _upload_constants(self, constants: Mapping[str, Array], gemms: list[Gemm]) -> None:
        """What kernels read, and what a library reads for ``gemms``."""
        for buffer in self.manifest.buffers:
            if buffer.role is Role.CONSTANT and buffer.split:
                self._memory[buffer.name] = self._device.deal(constants[buffer.name])
            elif buffer.role is Role.CONSTANT:
                self._upload(buffer.name, constants[buffer.name])
        for gemm in gemms:
            self._upload(_as_wide(gemm), as_float32(constants[gemm.weight], self.manifest.dtype, gemm.cols))

    @property
    def _exact(self) -> bool:
        """Whether products must be those of fp32."""
        return self.manifest.dtype == "fp32"

    @property
    def device_name(self) -> str:
        return self._device.name

    @property
    def hardware(self) -> str:
        """The name of the GPU that runs it, as its vendor gives it; ``simulator`` on the CPU."""
        return self._device.hardware

    def __enter__(self) -> Layer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Frees the device's memory; the Layer cannot be called afterwards. Closing twice does nothing."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._release()

    def _release(self) -> None:
        with self._device.active():
            self._memory.clear()
            self._device.close()

    def __call__(
        self, x: Any, state: Mapping[str, Any] | None = None, *, budget_ns: int | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Runs all steps of ``x`` [T, B, I], float32, and returns y [T, B, O] and the states [B, size].

        NumPy in, NumPy out. ``state`` holds initial states by name; a missing one is zero; nothing
        given is changed. On device ``cuda`` an ``x`` that lies on the GPU (DLPack, float32,
        C-contiguous) is read in place, and y and states come back as GPU arrays with DLPack.
        ``budget_ns``: wall time that one wait inside the kernel may take.
        Raises InputError for wrong shapes or types and after close(), WaitTimeout when a budget is spent.
        """
        with self._lock:
            self._check_open()
            _check_budget(budget_ns)
            given = {} if state is None else self._check_names(state)
            with self._device.active():
                if self._device.accepts(x):
                    return self._run_in_place(x, given, budget_ns)
                return self._run_numpy(self._check_input(x), given, budget_ns)

    def _run_numpy(
        self, x: Array, state: Mapping[str, Any], budget_ns: int | None
    ) -> tuple[Array, dict[str, Array]]:
        steps = len(x)
        x_buffer, y_buffer = self._find(Role.INPUT), self._find(Role.OUTPUT)
        if x_buffer:
            self._reserve(x_buffer.name, x.nbytes)
            self._device.upload(self._memory[x_buffer.name], x)
        assert y_buffer is not None
        self._reserve(y_buffer.name, y_buffer.bytes(steps))
        for buffer in self._states():
            self._reserve(buffer.name, buffer.bytes(0))
            self._device.upload(self._memory[buffer.name], self._initial(buffer, state))
        self._run_chunks(self._memory, steps, budget_ns)
        y = np.empty(y_buffer.dims(steps), np.float32)
        self._device.download(self._memory[y_buffer.name], y)
        after = {}
        for buffer in self._states():
            after[buffer.state] = np.empty(buffer.dims(0), np.float32)
            self._device.download(self._memory[buffer.name], after[buffer.state])
        return y, after

    def _run_in_place(
        self, x: Any, state: Mapping[str, Any], budget_ns: int | None
    ) -> tuple[Any, dict[str, Any]]:
        """The same for arrays that lie on the device: nothing crosses to the host but the status."""
        steps, device = int(x.shape[0]), self._device
        memory, borrowed = dict(self._memory), []
        try:
            for buffer in self.manifest.buffers:
                if buffer.role is Role.INPUT:
                    memory[buffer.name] = device.borrow(x, buffer.dims(steps))
                elif buffer.role is Role.OUTPUT:
                    memory[buffer.name] = device.allocate(buffer.bytes(steps))
            for buffer in self._states():
                memory[buffer.name] = device.allocate(buffer.bytes(0))
                given = state.get(buffer.state)
                if given is not None and device.accepts(given):
                    borrowed.append(device.borrow(given, buffer.dims(0)))
                    device.copy(memory[buffer.name], borrowed[-1], buffer.bytes(0))
                else:
                    device.upload(memory[buffer.name], self._initial(buffer, state))
            self._run_chunks(memory, steps, budget_ns)
        finally:
            device.synchronise()  # before what was borrowed goes back: its owner may write to it
            borrowed.clear()
        y = self._find(Role.OUTPUT)
        assert y is not None
        after = {b.state: device.lend(memory[b.name], b.dims(0)) for b in self._states()}
        return device.lend(memory[y.name], y.dims(steps)), after

    def time_us(self, x: Any, repeats: int = 20, *, warmup: int = 3) -> list[float]:
        """Microseconds a step of ``repeats`` calls: everything one call launches, fills included.

        ``x`` NumPy [T, B, I]; the states go on from call to call. Raises Unavailable on device ``sim``.
        """
        with self._lock:
            self._check_open()
            array = self._check_input(x)
            steps, longest = len(array), self.manifest.steps_per_launch

            def work() -> None:
                for first, count in launch.chunks(steps, longest):
                    self._enqueue(self._memory, first, count, None)

            with self._device.active():
                self._run_numpy(array, {}, None)
                times = [self._device.timed_us(work) / steps for _ in range(warmup + repeats)]
                self._check_status(0, None)
            return times[warmup:]

    def _run_chunks(self, memory: Mapping[str, Memory], steps: int, budget_ns: int | None) -> None:
        """Launches all kernels for every chunk of at most ``steps_per_launch`` steps."""
        for first, count in launch.chunks(steps, self.manifest.steps_per_launch):
            self._enqueue(memory, first, count, budget_ns)
            self._check_status(first, budget_ns)

    def _enqueue(self, memory: Mapping[str, Memory], first: int, steps: int, budget_ns: int | None) -> None:
        """Fills and launches of one chunk, in stream order, without waiting."""
        for buffer in self.manifest.buffers:
            if buffer.role in launch.WORK:
                self._reserve(buffer.name, buffer.bytes(steps))
        work = {b.name: self._memory[b.name] for b in self.manifest.buffers if b.role in launch.WORK}
        bound = {**memory, **work}
        budget = self._device.default_budget_ns if budget_ns is None else budget_ns
        for step in self._chunk:
            if isinstance(step, launch.FillStep):
                self._device.fill(bound[step.buffer], step.extent.bytes(steps), step.fill)
                continue
            values = [self._value(a, bound, first, steps, budget) for a in step.arguments]
            if step.kernel.gemm and step.kernel.name in self._multiplied:
                self._multiply(step.kernel.gemm, dict(zip(step.kernel.args, values, strict=True)), steps)
            else:
                self._device.launch(step.kernel, values)

    def _multiply(self, gemm: Gemm, values: Mapping[str, Any], steps: int) -> None:
        """What a kernel would compute, by the device's library."""
        self._device.multiply(
            gemm,
            self._memory[_as_wide(gemm)],
            values[gemm.operand],
            values[gemm.product],
            steps * self.manifest.batch,
            exact=self._exact,
        )

    def _value(
        self, argument: launch.Argument, bound: Mapping[str, Memory], first: int, steps: int, budget_ns: int
    ) -> Any:
        """What a kernel is given for ``argument``: a memory handle or a NumPy scalar."""
        match argument:
            case launch.Pointer(name, 0):
                return bound[name]
            case launch.Pointer(name, step_bytes):
                return self._device.offset(bound[name], first * step_bytes)
            case launch.Steps():
                return np.int32(steps)
            case launch.Budget():
                return np.uint64(budget_ns)
            case _:
                assert_never(argument)

    def _check_status(self, first: int, budget_ns: int | None) -> None:
        buffer = self._find(Role.STATUS)
        if buffer is None:
            return
        status = np.empty(buffer.dims(0), np.uint32)
        self._device.download(self._memory[buffer.name], status)
        code, block, step, phase = (int(v) for v in status[:4])
        if code == BUDGET_SPENT:
            budget = self._device.default_budget_ns if budget_ns is None else budget_ns
            raise WaitTimeout(block, first + step, phase, budget)
        if code:
            raise DeviceError(
                "E621", f"the kernel reported status {code} in block {block}, step {first + step}"
            )

    def _check_open(self) -> None:
        if self._closed:
            raise InputError("E617", "this layer is closed", "load the artifact again")

    def _check_input(self, x: Any) -> Array:
        """``x`` as C-contiguous float32 [T, B, I]; raises InputError E604 with expected against got."""
        array = _as_array(x, "input")
        expected = f"[T, {self.manifest.batch}, {self.manifest.input_size}]"
        if array.dtype.kind != "f":
            raise InputError("E604", f"input has type {array.dtype}, expected float32")
        if array.ndim != 3 or array.shape[1:] != (self.manifest.batch, self.manifest.input_size):
            raise InputError("E604", f"input has shape {list(array.shape)}, expected {expected}")
        if array.shape[0] == 0:
            raise InputError("E604", f"input has no time steps, expected {expected} with T at least 1")
        return _as_float32(array)

    def _check_names(self, state: Any) -> Mapping[str, Any]:
        known = [b.state for b in self._states()]
        if not isinstance(state, Mapping):
            raise InputError("E604", f"the state is {type(state).__name__}, expected arrays by name")
        unknown = [str(name) for name in state if name not in known]
        if unknown:
            raise InputError("E604", f"unknown states {unknown}; the cell has {known}")
        return state

    def _initial(self, buffer: Buffer, state: Mapping[str, Any]) -> Array:
        if buffer.state not in state:
            return np.zeros(buffer.dims(0), np.float32)
        array = _as_array(state[buffer.state], f"state '{buffer.state}'")
        if array.dtype.kind != "f":
            raise InputError("E604", f"state '{buffer.state}' has type {array.dtype}, expected float32")
        if array.shape != buffer.dims(0):
            raise InputError(
                "E604",
                f"state '{buffer.state}' has shape {list(array.shape)}, expected {list(buffer.dims(0))}",
            )
        return _as_float32(array)

    def _states(self) -> list[Buffer]:
        return [b for b in self.manifest.buffers if b.role is Role.STATE]

    def _find(self, role: Role) -> Buffer | None:
        return next((b for b in self.manifest.buffers if b.role is role), None)

    def _upload(self, name: str, array: Array) -> None:
        self._reserve(name, array.nbytes)
        self._device.upload(self._memory[name], array)

    def _reserve(self, name: str, size_bytes: int) -> None:
        """Memory of at least ``size_bytes`` under ``name``; it grows and is kept."""
        if self._capacity.get(name, 0) < size_bytes:
            self._memory[name] = self._device.allocate(size_bytes)
            self._capacity[name] = size_bytes


def _as_wide(gemm: Gemm) -> str:
    """Where a library's copy of a weight is kept: no buffer's name, which is an identifier."""
    return f"{gemm.weight}:float32"


def _as_array(given: Any, what: str) -> Array:
    """Raises InputError E604 for what is no array: a ragged list, an object."""
    try:
        return np.asarray(given)
    except (ValueError, TypeError) as error:
        raise InputError("E604", f"{what} is not a rectangular array: {error}") from error


def _as_float32(array: Array) -> Array:
    """C-contiguous; a float64 beyond float32 becomes Inf."""
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(array, np.float32)


def _check_budget(budget_ns: Any) -> None:
    if budget_ns is None:
        return
    whole = isinstance(budget_ns, (int, np.integer)) and not isinstance(budget_ns, bool)
    if not whole or not 1 <= budget_ns < 1 << 63:
        raise InputError("E604", f"budget_ns is {budget_ns!r}, expected a whole number of nanoseconds from 1")


def open_layer(loaded: Loaded, device: str = "auto", *, device_id: int = 0, seed: int = 0) -> Layer:
    """A layer on ``cuda``, ``sim``, or ``auto`` (cuda, else sim).

    ``device_id`` picks the GPU; ``seed`` draws sim's schedule. Raises Unavailable where the device cannot be
    had.
    """
    return on_device(device, lambda name: Layer(loaded, open_device(name, loaded, device_id, seed)))


def on_device(device: str, make: Callable[[str], Opened]) -> Opened:
    """What ``make`` makes of the device's name; ``auto`` is the first that this machine has."""
    if device not in ("auto", "cuda", "sim"):
        raise InputError(
            "E601", f"unknown device '{device}'", "expected auto, cuda or sim; sprnnc runs plan and reference"
        )
    reasons: list[SprnnError] = []
    for candidate in ("cuda", "sim") if device == "auto" else (device,):
        try:
            return make(candidate)
        except Unavailable as error:
            reasons.append(error)
    if len(reasons) == 1:
        raise reasons[0]
    raise Unavailable(
        "E607",
        "no device can run this artifact: " + "; ".join(e.message for e in reasons),
        "; or ".join(e.help for e in reasons if e.help),
    )


def open_device(name: str, loaded: Loaded, device_id: int, seed: int, beside: Device | None = None) -> Device:
    """The device for ``loaded``; its work and that of ``beside``, of the same name, are in one order."""
    kernels: tuple[Kernel, ...] = loaded.manifest.kernels
    if loaded.manifest.devices > 1:
        from sprnn_runtime.sim_devices import open_devices

        return open_devices(name, loaded.source, loaded.manifest, seed)
    if name == "cuda":
        from sprnn_runtime.cuda_device import CudaDevice

        assert beside is None or isinstance(beside, CudaDevice)
        return CudaDevice(loaded.cubin, loaded.manifest.arch, kernels, device_id, beside)
    from sprnn_runtime.sim_device import SimDevice

    return SimDevice(loaded.source, kernels, seed)
