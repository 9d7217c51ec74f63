"""A network on a device: states in and out, chunks, errors that name their layer, memory that is kept."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sprnn_runtime
from small_network import BATCH
from sprnn_runtime import InputError, Layer, Network, WaitTimeout
from sprnn_runtime.enqueue import Call
from sprnn_runtime.network import open_network
from sprnn_runtime.network_launcher import NetworkWork
from sprnn_runtime.sim_device import SimDevice
from sprnn_runtime.work import Work

import sprnnc
from sprnnc.schedule.network_plan import Fork

STATES = ["a.h", "b.h", "c.h", "d.h", "e.h"]
FORWARD = """\
cell RNN(I, H) {
  input  x[I]
  state  h[H]
  weight W[H, I], U[H, H]
  h' = tanh(W @ x + U @ h)
  output h'
}
model forward {
  input x[5]
  layer a = RNN(I=5, H=6) on x
  layer b = RNN(I=6, H=6) on a
  layer c = RNN(I=5, H=6) on x
  output a + b + c
}
"""


@pytest.fixture(scope="module")
def network(artifact: sprnnc.NetworkArtifact) -> Network:
    return open_network(artifact.loaded(), "sim")


def state_of(value: float) -> dict[str, np.ndarray]:
    return {name: np.full((BATCH, 6), value, np.float32) for name in STATES}


def test_states_go_in_and_out_by_layer(
    artifact: sprnnc.NetworkArtifact, network: Network, x: np.ndarray
) -> None:
    given = state_of(0.5)
    before = {name: s.copy() for name, s in given.items()}
    y, after = network(x, given)
    wanted = sprnnc.execute(artifact, x, given, device="reference")
    np.testing.assert_allclose(y, wanted.y, atol=1e-5)
    assert list(after) == STATES
    for name in STATES:
        np.testing.assert_allclose(after[name], wanted.state[name], atol=1e-5)
        np.testing.assert_array_equal(given[name], before[name])
    zeros, _ = network(x)
    assert not np.array_equal(zeros, y)


def test_forward_networks_go_on_where_they_stopped(x: np.ndarray) -> None:
    artifact = sprnnc.compile(FORWARD, random_weights=1, batch=BATCH, target="sim")
    with open_network(artifact.loaded(), "sim") as network:
        whole, end = network(x)
        first, state = network(x[:3])
        second, state = network(x[3:], state)
    np.testing.assert_array_equal(np.concatenate([first, second]), whole)
    for name in end:
        np.testing.assert_array_equal(state[name], end[name])


def test_it_is_a_layer_to_its_caller(network: Network, x: np.ndarray) -> None:
    assert isinstance(network, Layer)
    assert network.device_name == "sim"
    assert network.manifest.input_size == 5 and network.manifest.output_size == 6
    with pytest.raises(InputError, match="E604"):
        network(x[:, :, :4])
    with pytest.raises(InputError, match=r"unknown states \['h'\]"):
        network(x, {"h": np.zeros((BATCH, 6), np.float32)})
    with pytest.raises(InputError, match=r"state 'c\.h' has shape"):
        network(x, {"c.h": np.zeros((BATCH, 5), np.float32)})


def test_threads_take_turns(network: Network, x: np.ndarray) -> None:
    wanted, _ = network(x)
    found: list[np.ndarray] = []
    threads = [threading.Thread(target=lambda: found.extend(network(x)[0] for _ in range(3))) for _ in "1234"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 12
    for y in found:
        np.testing.assert_array_equal(y, wanted)


def test_a_closed_network_says_so(artifact: sprnnc.NetworkArtifact, x: np.ndarray) -> None:
    network = open_network(artifact.loaded(), "sim")
    network.close()
    network.close()
    with pytest.raises(InputError, match="closed"):
        network(x)


class Borrowing(SimDevice):
    """Sim whose arrays lie where it runs, as on a GPU; counts what crosses to the host and back."""

    crossed: list[str]

    def accepts(self, array: Any) -> bool:
        return isinstance(array, np.ndarray)

    def borrow(self, array: Any, shape: tuple[int, ...], dtype: str = "float32") -> np.ndarray:
        assert array.shape == shape and array.dtype == dtype and array.flags.c_contiguous
        return array.reshape(-1).view(np.uint8)

    def upload(self, memory: np.ndarray, array: np.ndarray) -> None:
        self.crossed.append("up")
        super().upload(memory, array)

    def download(self, memory: np.ndarray, array: np.ndarray) -> None:
        self.crossed.append("down")
        super().download(memory, array)


def borrowing(artifact: sprnnc.NetworkArtifact) -> tuple[Network, list[str]]:
    crossed: list[str] = []

    def device(source: str, kernels: Any) -> Borrowing:
        made = Borrowing(source, kernels)
        made.crossed = crossed
        return made

    loaded = artifact.loaded()
    own = device(loaded.own.source, loaded.own.manifest.kernels)
    parts = {n: Layer(p, device(p.source, p.manifest.kernels)) for n, p in loaded.parts.items()}
    network = Network(loaded, own, parts)
    crossed.clear()  # the constants
    return network, crossed


def test_between_layers_nothing_crosses_to_the_host(
    artifact: sprnnc.NetworkArtifact, network: Network, x: np.ndarray
) -> None:
    on_device, crossed = borrowing(artifact)
    y, state = on_device(x, state_of(0.25))
    wanted, end = network(x, state_of(0.25))
    np.testing.assert_array_equal(y, wanted)
    for name in STATES:
        np.testing.assert_array_equal(state[name], end[name])
    chunks = 3  # of seven steps, in each of five layers, each with a status of a few words
    assert crossed == ["down"] * 5 * chunks


def test_what_a_call_gave_is_not_touched_by_the_next(artifact: sprnnc.NetworkArtifact, x: np.ndarray) -> None:
    on_device, _ = borrowing(artifact)
    y, state = on_device(x)
    kept, ends = y.copy(), {n: s.copy() for n, s in state.items()}
    on_device(2 * x, state_of(1.0))
    np.testing.assert_array_equal(y, kept)
    for name, end in ends.items():
        np.testing.assert_array_equal(state[name], end)


def test_a_timed_call_is_the_whole_network(
    artifact: sprnnc.NetworkArtifact, x: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    launched: list[str] = []
    launch = SimDevice.launch

    def note(self: SimDevice, kernel: Any, args: Any) -> None:
        launched.append(kernel.name)
        launch(self, kernel, args)

    def timed_us(self: SimDevice, work: Any) -> float:
        launched.clear()
        work()
        return 70.0

    monkeypatch.setattr(SimDevice, "launch", note)
    monkeypatch.setattr(SimDevice, "timed_us", timed_us)
    with open_network(artifact.loaded(), "sim") as network:
        assert network.time_us(x, 2, warmup=1) == [10.0, 10.0]
    assert launched.count("recurrence") == 5 * 3 and launched.count("join_columns") == 5


@pytest.mark.parametrize("layer", ["b", "d"])
def test_a_wait_that_spent_its_budget_names_the_layer(
    artifact: sprnnc.NetworkArtifact, x: np.ndarray, layer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = open_network(artifact.loaded(), "sim")
    part = network._parts[layer]
    enqueue = part._launcher.enqueue
    seen: list[int] = []

    def fail_in_second_chunk(work: Work, call: Call, first: int, steps: int) -> None:
        enqueue(work, call, first, steps)
        seen.append(first)
        if len(seen) == 2:
            work.memory["status"][:16] = np.array([1, 4, 2, 1], np.uint32).view(np.uint8)

    monkeypatch.setattr(part._launcher, "enqueue", fail_in_second_chunk)
    with pytest.raises(WaitTimeout, match=rf"layer '{layer}': block 4 waited .* in step 5 ") as error:
        network(x)
    assert (error.value.layer, error.value.step) == (layer, 5)
    assert len(seen) == 2  # the third chunk would have cleared the word


def test_a_network_of_the_format_before_takes_whole_columns_only(x: np.ndarray) -> None:
    with sprnn_runtime.load(Path(__file__).parent / "kept/pair_1_2.sprnnx", "sim") as network:
        x = np.zeros((4, 2, network.manifest.input_size), np.float32)
        network(x)
        with pytest.raises(InputError, match=r"E604.*1 columns, and this artifact runs 2 only"):
            network(x[:, :1])
        with pytest.raises(InputError, match=r"E604.*takes no lengths"):
            network(x, lengths=[1, 2])


def test_lengths_of_one_call_are_not_those_of_the_next(network: Network, x: np.ndarray) -> None:
    whole, ends = network(x)
    short, _ = network(x, lengths=[3, 5])
    assert not short[3:, 0].any() and not short[5:, 1].any()
    again, after = network(x)
    np.testing.assert_array_equal(again, whole)
    for name, end in ends.items():
        np.testing.assert_array_equal(after[name], end)


def test_lengths_that_cannot_be(network: Network, x: np.ndarray) -> None:
    with pytest.raises(InputError, match=rf"E604.*expected {BATCH} whole numbers from 0 to {len(x)}"):
        network(x, lengths=[1] * (BATCH + 1))


@pytest.mark.parametrize("lengths", [None, [7, 4]])
def test_a_call_on_a_stream_writes_the_caller_s_arrays(
    artifact: sprnnc.NetworkArtifact, network: Network, x: np.ndarray, lengths: Any
) -> None:
    on_device, crossed = borrowing(artifact)
    wanted, ends = network(x, state_of(0.25), lengths=lengths)
    y = np.empty_like(wanted)
    after = {name: np.empty_like(end) for name, end in ends.items()}
    given = None if lengths is None else np.array(lengths, np.int32)
    on_device(x, state_of(0.25), lengths=given, stream=5, out=(y, after))
    assert crossed == []
    on_device.check()
    np.testing.assert_array_equal(y, wanted)
    for name, end in ends.items():
        np.testing.assert_array_equal(after[name], end)


def test_a_failure_on_a_stream_is_reported_with_its_layer(
    artifact: sprnnc.NetworkArtifact, x: np.ndarray
) -> None:
    on_device, _ = borrowing(artifact)
    on_device(x, stream=5)
    work = on_device._works[5]
    assert isinstance(work, NetworkWork)
    work.layers["e"].memory["status"].view(np.uint32)[:4] = [1, 3, 0, 1]
    on_device(x, stream=5)  # does not hide it
    with pytest.raises(WaitTimeout, match="layer 'e': block 3 waited"):
        on_device.check()
    on_device.check()


def forward(**schedule: int) -> sprnnc.NetworkArtifact:
    made = sprnnc.compile(FORWARD, random_weights=1, batch=BATCH, target="sim", schedule=schedule)
    assert isinstance(made, sprnnc.NetworkArtifact)
    return made


def test_layers_of_a_stream_run_at_once_too() -> None:
    plan = forward().plan
    assert [len(step.branches) for step in plan.steps if isinstance(step, Fork)] == [2]


@pytest.mark.parametrize("in_place", [False, True], ids=["NumPy", "in place"])
@pytest.mark.parametrize("sizes", [[1] * 7, [3, 1, 3], [7], [1, 2, 1, 2, 1]], ids=str)
def test_chunks_of_a_stream_give_the_bits_of_one_call(
    x: np.ndarray, sizes: list[int], in_place: bool
) -> None:
    artifact = forward(steps_per_launch=3, blocks=2)
    with open_network(artifact.loaded(), "sim") as whole:
        expected, last = whole(x)
    network = borrowing(artifact)[0] if in_place else open_network(artifact.loaded(), "sim")
    stream = network.stream()
    parts = [stream(part).copy() for part in np.split(x, np.cumsum(sizes)[:-1])]
    np.testing.assert_array_equal(np.concatenate(parts), expected)
    for name, state in stream.state.items():
        np.testing.assert_array_equal(state, last[name])


def test_a_bound_step_of_a_network_reads_what_its_array_holds_then(x: np.ndarray) -> None:
    network, crossed = borrowing(forward(blocks=2))
    expected, _ = network(x[:, :1].copy())
    stream = network.stream(batch=1, stream=7)
    held = np.empty((1, 1, 5), np.float32)
    step = stream.bind(held)
    crossed.clear()
    for t in range(len(x)):
        held[:] = x[t, :1]
        np.testing.assert_array_equal(step()[0], expected[t])
    assert crossed == []
    stream.check()


def test_a_network_with_a_reversed_layer_does_not_stream(network: Network) -> None:
    with pytest.raises(InputError, match=r"E604.*a network with a reversed layer does not stream"):
        network.stream()
