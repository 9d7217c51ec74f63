"""A loaded artifact on a device: ``y, state = layer(x, state)``."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from sprnn_runtime import inputs
from sprnn_runtime.device_protocol import Device, Memory
from sprnn_runtime.enqueue import Call, Launcher, resets_memory
from sprnn_runtime.errors import InputError, SprnnError, Unavailable
from sprnn_runtime.loaded import Loaded
from sprnn_runtime.manifest import Buffer, Fill, Kernel, Role
from sprnn_runtime.stream import Stream
from sprnn_runtime.stream_handle import stream_handle
from sprnn_runtime.work import Work

Array = NDArray[Any]
Opened = TypeVar("Opened")


class Columns(NamedTuple):
    """What befalls single columns of a call, as it was given."""

    lengths: Any = None
    resets: Any = None

    @property
    def given(self) -> list[Any]:
        return [array for array in self if array is not None]


class Layer:
    """An artifact on one device. Calls are thread-safe: one at a time; use one Layer a thread to overlap."""

    def __init__(
        self, loaded: Loaded, device: Device, launcher: Callable[[Loaded, Device], Launcher] = Launcher
    ) -> None:
        self.manifest = loaded.manifest
        self._device = device
        self._lock = threading.Lock()
        self._works: dict[int, Work] = {}  # by the caller's stream
        self._closed = False
        with device.active():
            try:
                self._launcher = launcher(loaded, device)
            except BaseException:
                device.close()
                raise
        self._own = self._launcher.work(keeps_status=False)

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
            self._own.clear()
            self._works.clear()
            self._launcher.clear()
            self._device.close()

    def __call__(
        self,
        x: Any,
        state: Mapping[str, Any] | None = None,
        *,
        lengths: Any = None,
        resets: Any = None,
        stream: Any = None,
        out: tuple[Any, Mapping[str, Any]] | None = None,
        budget_ns: int | None = None,
    ) -> tuple[Any, dict[str, Any]]:
        """Runs all steps of ``x`` [T, B, I], float32, and returns y [T, B, O] and the states [B, size].

        NumPy in, NumPy out. T is any number of steps, B at most the compiled batch. ``state`` holds initial
        states by name; a missing one is zero; nothing given is changed. ``lengths``: B whole numbers from 0
        to T; past its length a column's y is zero and its states stay (packed sequences of PyTorch).
        ``resets``: bool or uint8 [T, B], for an artifact compiled with ``resets = by_mask``; where it is set,
        all states of a column are zero before that step.

        On device ``cuda`` an ``x`` that lies on the GPU (DLPack, float32, C-contiguous) is read in place,
        and y and states come back as GPU arrays with DLPack. With ``stream`` (a ``torch.cuda.Stream``, an
        object with ``__cuda_stream__``, or a handle) everything is enqueued there, nothing waits, and
        ``check()`` says later whether all went well; states, lengths (int32) and resets must lie on the
        GPU too, and what is given must live until the stream has come past the call.
        ``out``: GPU arrays for y and the states by name, to be written instead of new ones; then a
        second call of a size allocates nothing and can be captured. A state may be given and written in
        one array. ``budget_ns``: wall time that one wait inside the kernel may take.
        Raises InputError for wrong shapes or types and after close(), WaitTimeout when a budget is spent.
        """
        with self._lock:
            self._check_open()
            inputs.check_budget(budget_ns)
            given = inputs.checked_names(state, self.manifest)
            with self._device.active():
                columns = Columns(lengths, resets)
                if stream is not None:
                    return self._run_on_stream(x, given, columns, stream_handle(stream), out, budget_ns)
                if self._device.accepts(x):
                    return self._run_in_place(x, given, columns, out, budget_ns)
                if out is not None:
                    raise InputError("E604", "out is for an x on the GPU", "leave it out: y is returned")
                return self._run_numpy(inputs.checked_input(x, self.manifest), given, columns, budget_ns)

    def stream(
        self, state: Mapping[str, Any] | None = None, *, batch: int | None = None, stream: Any = None
    ) -> Stream:
        """A sequence that is fed chunk by chunk, its states on the device; see ``Stream``.

        ``state`` as in a call; ``batch``: its columns (default: those of the state, else the compiled batch).
        """
        with self._lock:
            self._check_open()
            given = inputs.checked_names(state, self.manifest)
            columns = next((int(s.shape[0]) for s in given.values()), self.manifest.batch)
            columns = columns if batch is None else inputs.checked_batch(batch, self.manifest)
            handle = None if stream is None else stream_handle(stream)
            with self._device.active():
                return Stream(self._launcher, self._lock, given, columns, handle)

    def check(self) -> None:
        """Waits for all calls with ``stream``; raises WaitTimeout or DeviceError if one of them failed."""
        with self._lock:
            self._check_open()
            for handle, work in self._works.items():
                if work.unchecked:
                    with self._device.active(), self._device.on(handle):
                        work.check(None)

    def _run_numpy(
        self, x: Array, state: Mapping[str, Any], columns: Columns, budget_ns: int | None
    ) -> tuple[Array, dict[str, Array]]:
        steps, batch = x.shape[:2]
        own, device = self._own, self._device
        for buffer in self._buffers(Role.INPUT):
            own.reserve(buffer.name, x.nbytes)
            device.upload(own.memory[buffer.name], x)
        for buffer in self._buffers(Role.OUTPUT):
            own.reserve(buffer.name, buffer.bytes(steps))
        for buffer in self._buffers(Role.STATE):
            own.reserve(buffer.name, buffer.bytes(0))
            device.upload(own.memory[buffer.name], inputs.initial_state(buffer, state, batch))
        memory = self._callers() | self._of_columns(columns, batch, steps)
        self._launcher.run(own, Call(memory, steps, batch, budget_ns))
        results = {}
        for buffer in (*self._buffers(Role.OUTPUT), *self._buffers(Role.STATE)):
            results[buffer.name] = np.empty(buffer.dims_of(batch, steps), np.float32)
            device.download(own.memory[buffer.name], results[buffer.name])
        return self._named(results)

    def _run_in_place(
        self, x: Any, state: Mapping[str, Any], columns: Columns, out: Any, budget_ns: int | None
    ) -> tuple[Any, dict[str, Any]]:
        """The same for arrays that lie on the device: nothing crosses to the host but the status."""
        steps, batch = inputs.checked_shape(x, self.manifest)
        memory: dict[str, Memory] = {}
        try:
            self._borrow(memory, x, state, out, steps, batch)
            memory |= self._of_columns(columns, batch, steps)
            self._launcher.run(self._own, Call(memory, steps, batch, budget_ns))
        finally:
            self._device.synchronise()  # before what was borrowed goes back: its owner may write to it
        return self._lent(memory, out, steps, batch)

    def _run_on_stream(
        self, x: Any, state: Mapping[str, Any], columns: Columns, handle: int, out: Any, budget_ns: int | None
    ) -> tuple[Any, dict[str, Any]]:
        """The same in the order of the caller's stream, without waiting."""
        given = [x, *state.values(), *columns.given]
        if not all(self._device.accepts(array) for array in given):
            help = "x, states, lengths and resets must lie there; leave stream out for arrays of the host"
            raise InputError("E604", "a call with stream takes arrays on the GPU only", help)
        steps, batch = inputs.checked_shape(x, self.manifest)
        memory: dict[str, Memory] = {}
        with self._device.on(handle):
            if handle not in self._works:
                self._works[handle] = self._launcher.work(keeps_status=True)
            work = self._works[handle]
            self._borrow(memory, x, state, out, steps, batch)
            memory |= self._of_columns(columns, batch, steps)
            work.unchecked = True
            self._launcher.enqueue_all(work, Call(memory, steps, batch, budget_ns))
            return self._lent(memory, out, steps, batch)

    def _borrow(
        self, memory: dict[str, Memory], x: Any, state: Mapping[str, Any], out: Any, steps: int, batch: int
    ) -> None:
        """Fills ``memory`` with what is read and written in place, and the states before the first step."""
        device = self._device
        y, after = (None, {}) if out is None else out
        for buffer in self._buffers(Role.INPUT):
            memory[buffer.name] = device.borrow(x, buffer.dims_of(batch, steps))
        for buffer in self._buffers(Role.OUTPUT):
            memory[buffer.name] = self._place(buffer, y, batch, steps)
        for buffer in self._buffers(Role.STATE):
            memory[buffer.name] = place = self._place(buffer, after.get(buffer.state), batch, 0)
            given, size_bytes = state.get(buffer.state), 4 * math.prod(buffer.dims_of(batch, 0))
            if given is None and buffer.state not in state:
                device.fill(place, size_bytes, Fill.ZEROS)
            elif given is not after.get(buffer.state) or given is None:
                self._set_state(memory, buffer, given, batch)

    def _place(self, buffer: Buffer, given: Any, batch: int, steps: int) -> Memory:
        if given is None:
            return self._device.allocate(buffer.bytes(steps))
        return self._device.borrow(given, buffer.dims_of(batch, steps))

    def _set_state(self, memory: dict[str, Memory], buffer: Buffer, given: Any, batch: int) -> None:
        place, device = memory[buffer.name], self._device
        if device.accepts(given):
            dims = buffer.dims_of(batch, 0)
            source = memory[f"{buffer.name}:given"] = device.borrow(given, dims)  # kept like the others
            device.copy(place, source, 4 * math.prod(dims))
        else:
            device.upload(place, inputs.initial_state(buffer, {buffer.state: given}, batch))

    def _of_columns(self, columns: Columns, batch: int, steps: int) -> dict[str, Memory]:
        """The memory of what is given, by name."""
        found = self._lengths(columns.lengths, batch, steps)
        return found | resets_memory(self._launcher, self._own, columns.resets, batch, steps)

    def _lengths(self, lengths: Any, batch: int, steps: int) -> dict[str, Memory]:
        """The lengths' memory by name; nothing where there are none."""
        if lengths is None:
            return {}
        buffer = inputs.lengths_buffer(self.manifest)
        if self._device.accepts(lengths):
            return {buffer.name: self._device.borrow(lengths, (batch,), "int32")}
        checked = inputs.checked_lengths(lengths, batch, steps)
        place = f"{buffer.name}:given"  # not the buffer's name: the next call may have none
        self._own.reserve(place, buffer.bytes(0))
        self._device.upload(self._own.memory[place], checked)
        return {buffer.name: self._own.memory[place]}

    def _lent(
        self, memory: Mapping[str, Memory], out: Any, steps: int, batch: int
    ) -> tuple[Any, dict[str, Any]]:
        """What is returned: the caller's own arrays, or new ones over our memory."""
        y, after = (None, {}) if out is None else out
        results = {}
        for buffer in (*self._buffers(Role.OUTPUT), *self._buffers(Role.STATE)):
            given = y if buffer.role is Role.OUTPUT else after.get(buffer.state)
            dims = buffer.dims_of(batch, steps)
            results[buffer.name] = self._device.lend(memory[buffer.name], dims) if given is None else given
        return self._named(results)

    def _named(self, results: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        """y, and the states by the names that the cell gives them, of arrays by buffer."""
        (y,) = (results[b.name] for b in self._buffers(Role.OUTPUT))
        return y, {b.state: results[b.name] for b in self._buffers(Role.STATE)}

    def time_us(self, x: Any, repeats: int = 20, *, warmup: int = 3) -> list[float]:
        """Microseconds a step of ``repeats`` calls: everything one call launches, fills included.

        ``x`` NumPy [T, B, I]; the states go on from call to call. Raises Unavailable on device ``sim``.
        """
        with self._lock:
            self._check_open()
            x = inputs.checked_input(x, self.manifest)
            steps, batch = x.shape[:2]

            def work() -> None:
                self._launcher.enqueue_all(self._own, Call(self._callers(), steps, batch))

            with self._device.active():
                self._run_numpy(x, {}, Columns(), None)
                times = [self._device.timed_us(work) / steps for _ in range(warmup + repeats)]
                self._own.check(None)
            return times[warmup:]

    def _callers(self) -> dict[str, Memory]:
        """Input, output and states of a call on arrays of the host."""
        roles = (Role.INPUT, Role.OUTPUT, Role.STATE)
        return {b.name: self._own.memory[b.name] for role in roles for b in self._buffers(role)}

    def _check_open(self) -> None:
        if self._closed:
            raise InputError("E617", "this layer is closed", "load the artifact again")

    def _buffers(self, role: Role) -> Sequence[Buffer]:
        return self._launcher.buffers(role)


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
