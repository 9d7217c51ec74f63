"""Streaming: chunks of any sizes give the bits of one call, and a step costs few calls of the device."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from small_layer import BATCH, STEPS, compile_lstm
from sprnn_runtime import InputError, Layer
from sprnn_runtime.layer import open_layer
from sprnn_runtime.sim_device import SimDevice

import sprnnc
from sprnnc.executors import execute

GRU = """\
cell Gru(I, H) {
  input  x[I]
  state  h[H]
  weight U[H, H], V[H, H] sparse(0.5)
  weight W[H, I]

  z = sigmoid(U @ h)
  n = tanh(W @ x + V @ (z * h))
  h' = (1 - z) * n + z * h
  output h'
}

model gru {
  layer main = Gru(I=10, H=24)
}
"""


class InPlaceSim(SimDevice):
    """Sim that takes NumPy arrays as a GPU takes its own, and counts what it is asked for.

    ``captures``: whether the next launches go into a graph, which is played by running them again.
    """

    def __init__(self, artifact: sprnnc.Artifact) -> None:
        super().__init__(artifact.kernel_source, artifact.manifest.kernels)
        self.counts = {"allocate": 0, "fill": 0, "upload": 0, "download": 0, "launch": 0}
        self.captures = False
        self.graph: list[Any] = []

    def accepts(self, array: Any) -> bool:
        return isinstance(array, np.ndarray)

    def borrow(self, array: Any, shape: tuple[int, ...], dtype: str = "float32") -> np.ndarray:
        if array.shape != shape or array.dtype != dtype:
            raise InputError("E604", "wrong shape")
        return array.reshape(-1).view(np.uint8)

    def capturing(self, stream: int | None) -> bool:
        return self.captures

    def play(self) -> None:
        for name, args in self.graph:
            getattr(SimDevice, name)(self, *args)

    def __getattribute__(self, name: str) -> Any:
        method = super().__getattribute__(name)
        if name not in ("allocate", "fill", "upload", "download", "launch"):
            return method

        def counted(*args: Any) -> Any:
            self.counts[name] += 1
            if self.captures and name in ("fill", "launch"):
                self.graph.append(
                    (name, (args[0], list(args[1]) if name == "launch" else args[1], *args[2:]))
                )
                return None
            return method(*args)

        return counted


@pytest.fixture(scope="module", params=["lamport", "barrier", "two phases"])
def short(request: pytest.FixtureRequest) -> sprnnc.Artifact:
    """At most 5 steps a launch."""
    if request.param == "two phases":
        return sprnnc.compile(
            GRU, random_weights=3, batch=BATCH, target="sim", schedule={"steps_per_launch": 5, "blocks": 2}
        )
    return compile_lstm(steps_per_launch=5, exchange=request.param)


def draw(steps: int, batch: int = BATCH) -> np.ndarray:
    return np.random.default_rng(5).standard_normal((steps, batch, 10)).astype(np.float32)


@pytest.mark.parametrize("in_place", [False, True], ids=["NumPy", "in place"])
@pytest.mark.parametrize("sizes", [[1] * 12, [5, 1, 6], [12], [1, 2, 1, 2, 5, 1]], ids=str)
def test_chunks_give_the_bits_of_one_call(short: sprnnc.Artifact, sizes: list[int], in_place: bool) -> None:
    x = draw(STEPS)
    with open_layer(short.loaded(), "sim") as whole:
        expected, last = whole(x)
    device = InPlaceSim(short) if in_place else SimDevice(short.kernel_source, short.manifest.kernels)
    with Layer(short.loaded(), device) as layer:
        stream = layer.stream()
        parts = [stream(part).copy() for part in np.split(x, np.cumsum(sizes)[:-1])]
        np.testing.assert_array_equal(np.concatenate(parts), expected)
        for name, state in stream.state.items():
            np.testing.assert_array_equal(state, last[name])


def test_more_steps_than_turns_of_the_exchange_give_the_same_bits() -> None:
    artifact = compile_lstm(steps_per_launch=8)
    x = draw(40)
    with open_layer(artifact.loaded(), "sim") as layer:
        expected, _ = layer(x)
        stream = layer.stream()
        np.testing.assert_array_equal(np.concatenate([stream(part[None]) for part in x]), expected)


def test_a_stream_begins_from_a_state_and_again_from_another(short: sprnnc.Artifact) -> None:
    x = draw(6)
    with open_layer(short.loaded(), "sim") as layer:
        expected, middle = layer(x)
        more, _ = layer(x, middle)
        stream = layer.stream(middle)
        np.testing.assert_array_equal(stream(x), more)
        stream.reset()
        np.testing.assert_array_equal(stream(x), expected)
        stream.reset(middle)
        np.testing.assert_array_equal(stream(x), more)


def test_streams_of_one_layer_do_not_disturb_each_other_nor_calls(short: sprnnc.Artifact) -> None:
    x = draw(4)
    with open_layer(short.loaded(), "sim") as layer:
        expected, _ = layer(x)
        one, two, narrow = layer.stream(), layer.stream(), layer.stream(batch=1)
        for t in range(4):
            for stream in (one, two):
                np.testing.assert_array_equal(stream(x[t : t + 1]), expected[t : t + 1])
            np.testing.assert_array_equal(narrow(x[t : t + 1, :1]), expected[t : t + 1, :1])
            layer(x)


def test_after_the_first_step_nothing_is_allocated_or_copied_or_filled(short: sprnnc.Artifact) -> None:
    device = InPlaceSim(short)
    x = draw(1)
    with Layer(short.loaded(), device) as layer:
        step = layer.stream(stream=7).bind(x)
        step()
        device.counts = dict.fromkeys(device.counts, 0)
        for _ in range(3):
            step()
        fills = 3 * sum(b.name == "arrivals" for b in short.manifest.buffers)
        launches = 3 * len(short.manifest.kernels)
        assert device.counts == {"allocate": 0, "fill": fills, "upload": 0, "download": 0, "launch": launches}


def test_a_bound_step_reads_what_its_array_holds_then(short: sprnnc.Artifact) -> None:
    x, device = draw(STEPS), InPlaceSim(short)
    with Layer(short.loaded(), device) as layer:
        expected, _ = layer(x)
        stream = layer.stream(stream=7)
        held = np.empty((1, BATCH, 10), np.float32)
        step = stream.bind(held)
        for t in range(STEPS):
            held[:] = x[t]
            np.testing.assert_array_equal(step()[0], expected[t])
        stream.check()


def test_a_captured_chunk_can_be_played_between_others(short: sprnnc.Artifact) -> None:
    """A graph runs again without us: it must fill its own place, and leave those of other launches alone."""
    x, device = draw(STEPS), InPlaceSim(short)
    with Layer(short.loaded(), device) as layer:
        expected, _ = layer(x)
        stream = layer.stream(stream=7)
        one, two = np.empty((1, BATCH, 10), np.float32), np.empty((2, BATCH, 10), np.float32)
        step, pair = stream.bind(one), stream.bind(two)
        two[:] = x[:2]
        np.testing.assert_array_equal(pair(), expected[:2])
        device.captures = True
        y = pair()
        device.captures = False
        one[:] = x[2]
        np.testing.assert_array_equal(step()[0], expected[2])
        for t in (3, 6, 9):
            two[:] = x[t : t + 2]
            device.play()
            np.testing.assert_array_equal(y, expected[t : t + 2])
            one[:] = x[t + 2]
            np.testing.assert_array_equal(step()[0], expected[t + 2])


def test_a_chunk_of_several_launches_is_not_captured(short: sprnnc.Artifact) -> None:
    device = InPlaceSim(short)
    with Layer(short.loaded(), device) as layer:
        stream = layer.stream(stream=7)
        device.captures = True
        with pytest.raises(InputError, match="no resets, and at most 5 steps, not 6"):
            stream(draw(6))


def test_a_step_that_failed_is_reported_once_when_asked() -> None:
    artifact = compile_lstm()
    (status,) = (b for b in artifact.manifest.buffers if b.role.value == "status")
    device = InPlaceSim(artifact)
    with Layer(artifact.loaded(), device) as layer:
        stream = layer.stream(stream=7)
        stream(draw(1))
        stream._work.memory[status.name].view(np.uint32)[:4] = [1, 3, 0, 1]
        stream(draw(1))  # does not hide it
        from sprnn_runtime import WaitTimeout

        with pytest.raises(WaitTimeout, match="block 3 waited"):
            stream.check()
        stream.check()


@pytest.mark.parametrize(
    ("x", "says"),
    [
        (np.zeros((0, BATCH, 10), np.float32), "no time steps"),
        (np.zeros((1, 1, 10), np.float32), "1 columns, the stream 2"),
        (np.zeros((1, BATCH, 9), np.float32), "shape"),
        ([[["a"]]], "type"),
    ],
)
def test_wrong_chunks_change_nothing(x: Any, says: str) -> None:
    artifact = compile_lstm()
    with open_layer(artifact.loaded(), "sim") as layer:
        expected, _ = layer(draw(2))
        stream = layer.stream()
        with pytest.raises(InputError, match=says):
            stream(x)
        np.testing.assert_array_equal(stream(draw(2)), expected)


@pytest.mark.parametrize("batch", [0, 3, "2", True])
def test_a_batch_that_cannot_be(batch: Any) -> None:
    artifact = compile_lstm()
    with open_layer(artifact.loaded(), "sim") as layer, pytest.raises(InputError, match="from 1 to 2"):
        layer.stream(batch=batch)


def test_a_stream_agrees_with_the_reference(short: sprnnc.Artifact) -> None:
    x = draw(7)
    with open_layer(short.loaded(), "sim") as layer:
        stream = layer.stream()
        y = np.concatenate([stream(x[:3]), stream(x[3:])])
    np.testing.assert_allclose(y, execute(short, x, device="reference").y, atol=1e-5)
