"""Streaming: a sequence that comes in chunks, its states on the device from the first step to the last."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np

from sprnn_runtime import inputs
from sprnn_runtime.device_protocol import Memory
from sprnn_runtime.enqueue import Call, Launcher, resets_memory
from sprnn_runtime.errors import InputError
from sprnn_runtime.manifest import Buffer, Fill, Role
from sprnn_runtime.repeated_chunk import Repeats


class Stream:
    """``y = stream(x)``, again and again: the same bits as one call over all steps.

    Made by ``Layer.stream``. x [T, B, I] and y [T, B, O] are float32; T may differ from call to call. An x of
    NumPy gives a new y of NumPy. An x on the GPU is read in place and gives y there, over memory that **the
    next call writes again**. After the first call of a size nothing is allocated.

    Without a CUDA stream every call waits, and raises WaitTimeout or DeviceError if it failed. With one,
    calls on GPU arrays only enqueue on it, and ``check()`` says later whether all went well; they can be
    captured into a CUDA graph after a first call of their size.
    """

    def __init__(
        self,
        launcher: Launcher,
        lock: threading.Lock,
        state: Mapping[str, Any],
        batch: int,
        handle: int | None,
    ) -> None:
        self.batch = batch
        self._launcher, self._device, self._lock = launcher, launcher.device, lock
        self._handle = handle
        self._work = launcher.work(keeps_status=True)
        self._states: dict[str, Memory] = {}
        self._chunks: dict[int, Repeats] = {}
        self._last: Repeats | None = None
        for buffer in launcher.buffers(Role.STATE):
            self._states[buffer.name] = self._device.allocate(buffer.bytes(0))
        self._set_states(state)

    def __call__(self, x: Any, *, resets: Any = None) -> Any:
        """Runs all steps of ``x``; ``resets`` as in a call of a Layer.

        Raises InputError for another shape, type or place.
        """
        with self._lock, self._device.active():
            if not self._device.accepts(x):
                return self._run_numpy(x, resets)
            with self._on():
                steps = inputs.checked_shape(x, self._launcher.manifest)[0]
                (buffer,) = self._launcher.buffers(Role.INPUT)
                borrowed = self._device.borrow(x, buffer.dims_of(self.batch, steps))
                if steps > self._launcher.most_steps or resets is not None:
                    y = self._run_long(borrowed, steps, resets)
                else:
                    y = self._run(self._chunk(steps), borrowed)
                self._wait()  # before what was borrowed goes back
            return y

    def bind(self, x: Any) -> Bound:
        """A call on this very GPU array: ``step = stream.bind(x)``, then fill x and call ``step()``.

        It is the cheapest way to run the same number of steps again and again, at most ``steps_per_launch``.
        """
        with self._lock, self._device.active(), self._on():
            if not self._device.accepts(x):
                raise InputError("E604", "bind takes an array on the GPU", "call the stream itself instead")
            steps = inputs.checked_shape(x, self._launcher.manifest)[0]
            most = self._launcher.most_steps
            if steps > most:
                raise InputError("E604", f"bind takes at most {most} steps, the array has {steps}")
            (buffer,) = self._launcher.buffers(Role.INPUT)
            borrowed = self._device.borrow(x, buffer.dims_of(self.batch, steps))
            return Bound(self, self._made_chunk(steps, borrowed))

    @property
    def state(self) -> dict[str, Any]:
        """The states [B, size] by name, arrays over the stream's own memory: the next call changes them."""
        with self._lock, self._device.active(), self._on():
            return {
                b.state: self._device.lend(self._states[b.name], b.dims_of(self.batch, 0))
                for b in self._launcher.buffers(Role.STATE)
            }

    def reset(self, state: Mapping[str, Any] | None = None) -> None:
        """Begins another sequence: from ``state``, a missing one zero."""
        with self._lock, self._device.active():
            self._set_states(inputs.checked_names(state, self._launcher.manifest))

    def check(self) -> None:
        """Waits; raises WaitTimeout or DeviceError if a call since the last check failed."""
        with self._lock, self._device.active(), self._on():
            self._work.check(None)

    # ---- inside the lock, on the active device ----

    def _on(self) -> Any:
        return self._device.on(self._handle)

    def _set_states(self, state: Mapping[str, Any]) -> None:
        with self._on():
            for buffer in self._launcher.buffers(Role.STATE):
                place, dims = self._states[buffer.name], buffer.dims_of(self.batch, 0)
                given = state.get(buffer.state)
                if buffer.state not in state:
                    self._device.fill(place, 4 * math.prod(dims), Fill.ZEROS)
                elif self._device.accepts(given):
                    self._device.copy(place, self._device.borrow(given, dims), 4 * math.prod(dims))
                    self._wait()
                else:
                    self._device.upload(place, inputs.initial_state(buffer, state, self.batch))

    def _run_numpy(self, given: Any, resets: Any) -> Any:
        x = inputs.checked_input(given, self._launcher.manifest)
        if x.shape[1] != self.batch:
            raise InputError("E604", f"input has {x.shape[1]} columns, the stream {self.batch}")
        steps = len(x)
        with self._on():
            (buffer,) = self._launcher.buffers(Role.INPUT)
            self._reserve(buffer, steps)
            memory = self._work.memory[buffer.name]
            self._device.upload(memory, x)
            if steps > self._launcher.most_steps or resets is not None:
                self._run_long(memory, steps, resets)
            else:
                self._run(self._chunk(steps), memory)
            (out,) = self._launcher.buffers(Role.OUTPUT)
            y = np.empty(out.dims_of(self.batch, steps), np.float32)
            self._device.download(self._work.memory[out.name], y)
            self._work.check(None)
        return y

    def _run(self, chunk: Repeats, x: Memory | None = None) -> Any:
        if x is not None:
            chunk.read(x)
        if chunk is not self._last:  # another chunk has written to the exchange since
            chunk.begin()
            self._last = chunk
        captured = self._device.capturing(self._handle)
        self._work.unchecked = True
        if chunk.fills_now or captured:
            with self._on():
                chunk.fill(captured=captured)
        chunk.launch()
        return chunk.y

    def _run_long(self, x: Memory, steps: int, resets: Any) -> Any:
        """More steps than one launch takes, or with a mask: as a call does it."""
        (out,) = self._launcher.buffers(Role.OUTPUT)
        if self._device.capturing(self._handle):  # a graph would write to the exchange of others behind us
            most = f"at most {self._launcher.most_steps} steps, not {steps}"
            what = f"a captured chunk has no resets, and {most}"
            raise InputError("E604", what, "capture several chunks, or a call of the layer")
        self._reserve(out, steps)
        mask = resets_memory(self._launcher, self._work, resets, self.batch, steps)
        self._last = None
        self._work.unchecked = True
        self._launcher.enqueue_all(self._work, Call(self._memory(x) | mask, steps, self.batch))
        return self._device.lend(self._work.memory[out.name], out.dims_of(self.batch, steps))

    def _chunk(self, steps: int) -> Repeats:
        if steps not in self._chunks:
            self._chunks[steps] = self._made_chunk(steps, None)
        return self._chunks[steps]

    def _made_chunk(self, steps: int, x: Memory | None) -> Repeats:
        (out,) = self._launcher.buffers(Role.OUTPUT)
        self._reserve(out, steps)
        before = self._work.moves
        self._launcher.reserve_repeated(self._work, steps)
        self._forget_old_chunks(before)
        y = self._device.lend(self._work.memory[out.name], out.dims_of(self.batch, steps))
        return self._launcher.repeated(self._work, Call(self._memory(x), steps, self.batch), y)

    def _memory(self, x: Memory | None) -> dict[str, Memory]:
        (source,), (out,) = (self._launcher.buffers(r) for r in (Role.INPUT, Role.OUTPUT))
        y = self._work.memory[out.name]
        return {source.name: y if x is None else x, out.name: y, **self._states}

    def _reserve(self, buffer: Buffer, steps: int) -> None:
        """Room for what goes in or comes out."""
        before = self._work.moves
        self._work.reserve(buffer.name, buffer.bytes(steps))
        self._forget_old_chunks(before)

    def _forget_old_chunks(self, moves: int) -> None:
        """Chunks that were prepared with memory that has been replaced since are made again."""
        if self._work.moves != moves:
            self._chunks.clear()
            self._last = None

    def _wait(self) -> None:
        if self._handle is None:
            self._device.synchronise()
            self._work.check(None)


class Bound:
    """One chunk of a stream on one array; a call enqueues it and returns y, the same array each time."""

    def __init__(self, stream: Stream, chunk: Repeats) -> None:
        self._stream, self._chunk = stream, chunk

    def __call__(self) -> Any:
        stream = self._stream
        with stream._lock, stream._device.active():
            y = stream._run(self._chunk)
            if stream._handle is None:
                stream._wait()
        return y
