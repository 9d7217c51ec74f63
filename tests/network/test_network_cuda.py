"""What a network asks of the CUDA driver: streams, pointers from layer to layer, all given back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sprnn_runtime.cuda_device as cuda_device
from fake_driver import FakeDriver
from small_network import BATCH, STEPS, compile_small
from sprnn_runtime import DeviceError
from sprnn_runtime.network import open_network

import sprnnc


class Handle(str):
    """A name that is a number too, as handles are."""

    def __int__(self) -> int:
        return hash(self)


class Driver(FakeDriver):
    """Streams and modules have numbers; notes which are made and given back, and where launches go."""

    def __init__(self) -> None:
        super().__init__()
        self.alive: list[str] = []
        self.streams: set[Any] = set()
        self.order: list[tuple[Any, Any]] = []
        self.recorded: dict[Any, Any] = {}
        self.modules_left = 99

    def cuStreamCreate(self, *_: Any) -> tuple[int, str]:
        return 0, self._make("stream")

    def CUstream(self, handle: int) -> int:
        return handle

    def cuStreamDestroy(self, stream: str) -> tuple[int]:
        assert stream in self.alive
        self.alive.remove(stream)
        return (0,)

    def cuStreamSynchronize(self, stream: str) -> tuple[int]:
        assert stream == 7 or stream in self.alive
        return (0,)

    def cuEventCreate(self, *_: Any) -> tuple[int, str]:
        return 0, self._make("event")

    def cuEventDestroy(self, event: str) -> tuple[int]:
        self.alive.remove(event)
        return (0,)

    def cuEventRecord(self, event: str, stream: Any) -> tuple[int]:
        self.recorded[event] = stream
        return (0,)

    def cuStreamWaitEvent(self, stream: Any, event: str, _: int) -> tuple[int]:
        self.order.append((self.recorded[event], stream))
        return (0,)

    def cuModuleLoadData(self, *_: Any) -> tuple[int, str]:
        self.modules_left -= 1
        return (0, self._make("module")) if self.modules_left >= 0 else (1, None)

    def cuModuleUnload(self, module: str) -> tuple[int]:
        self.alive.remove(module)
        return (0,)

    def cuGetErrorString(self, *_: Any) -> tuple[int, bytes]:
        return 0, b"it fails"

    def _launch(self, call: str, *args: Any) -> tuple[int]:
        self.streams.add(args[8])
        return super()._launch(call, *args)

    def _make(self, kind: str) -> str:
        name = Handle(f"{kind} {len(self.lines)} {len(self.alive)}")
        self.alive.append(name)
        return name


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    made = Driver()
    monkeypatch.setattr(cuda_device, "_driver", lambda: made)
    monkeypatch.setattr(cuda_device, "find_library", lambda: None)
    return made


@pytest.fixture(scope="module")
def for_gpu() -> sprnnc.NetworkArtifact:
    schedule = {"blocks": 2, "threads": 64, "input_products": "kernel", "kernels": "each"}
    return compile_small(target="sm_90", schedule=schedule)


def test_joins_are_in_one_stream_and_streams_of_layers_stay_where_they_are(
    driver: Driver, for_gpu: sprnnc.NetworkArtifact, x: np.ndarray
) -> None:
    with open_network(for_gpu.loaded(), "cuda") as network:
        y, state = network(x)
        streams = [a for a in driver.alive if a.startswith("stream")]
        assert len(streams) == 2, "its own, and one beside it for the reversed layer"
        assert driver.streams == set(streams)
    assert driver.alive == []
    assert y.shape == (STEPS, BATCH, 6) and list(state) == ["a.h", "b.h", "c.h", "d.h", "e.h"]
    launches = [line.split() for line in driver.lines if not line.startswith("fill")]
    joins = [
        [int(w.split(":")[1]) for w in line[4:]] for line in launches if line[2] == "256" and len(line) == 15
    ]
    kernels = [line for line in launches if line[0] == "together"]
    assert len(kernels) == 5
    turned, left, right, first, second = joins
    call = [0, 0, STEPS, BATCH]  # without lengths, from the first step on
    assert turned[2:] == [*call, 5, 5, 0, 1, 0]  # x, for the reversed b
    assert left[2:] == [*call, 6, 12, 0, 1, 0] and right[2:] == [*call, 6, 12, 6, 0, 0]
    assert left[1] == right[1]
    assert first[2:] == [*call, 6, 6, 0, 0, 0] and second[2:] == [*call, 6, 6, 0, 1, 1]
    assert first[0] == left[0], "both read what a wrote"
    written = [{w for w in line[4:]} for line in kernels]
    assert f"8:{left[0]}" in written[0] and f"8:{right[0]}" in written[1] and f"8:{second[0]}" in written[2]


class Smaller(Driver):
    """A GPU with fewer SMs than the artifact was compiled for."""

    def cuDeviceGetAttribute(self, name: str, device: Any) -> tuple[int, int]:
        if name.endswith("MULTIPROCESSOR_COUNT"):
            return 0, 3
        return super().cuDeviceGetAttribute(name, device)

    def cuOccupancyMaxActiveBlocksPerMultiprocessor(self, *_: Any) -> tuple[int, int]:
        return 0, 1


def test_where_the_blocks_of_both_do_not_fit_layers_run_one_by_one(
    monkeypatch: pytest.MonkeyPatch, for_gpu: sprnnc.NetworkArtifact, x: np.ndarray
) -> None:
    small = Smaller()
    monkeypatch.setattr(cuda_device, "_driver", lambda: small)
    monkeypatch.setattr(cuda_device, "find_library", lambda: None)
    with open_network(for_gpu.loaded(), "cuda") as network:
        network(x)
        assert len(small.streams) == 1 and small.order == []


@pytest.mark.parametrize("modules", range(5))
def test_a_network_that_cannot_be_opened_gives_everything_back(
    driver: Driver, for_gpu: sprnnc.NetworkArtifact, modules: int
) -> None:
    driver.modules_left = modules
    with pytest.raises(DeviceError, match="it fails"):
        open_network(for_gpu.loaded(), "cuda")
    assert driver.alive == []


def test_a_call_on_the_caller_s_stream_has_every_launch_there(
    driver: Driver, for_gpu: sprnnc.NetworkArtifact, x: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuda_device, "is_gpu_array", lambda _: True)
    monkeypatch.setattr(cuda_device, "borrow_gpu_array", lambda array, *_: (array.ctypes.data, array))
    with open_network(for_gpu.loaded(), "cuda") as network:
        network(x, stream=7)
        (beside,) = driver.streams - {7}
        assert driver.order == [(7, beside), (beside, 7)]
        driver.streams.clear()
        network(x)
        assert not driver.streams & {7, beside}
        network.check()
