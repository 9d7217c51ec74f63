"""What device cuda asks its driver for: a call on a stream does not wait, and a step costs few calls."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from quiet_driver import QuietDriver, on_gpu, quiet_layer
from small_layer import BATCH, EXAMPLES
from sprnn_runtime import InputError, Layer
from sprnn_runtime.stream_handle import stream_handle

import sprnnc

WAITS = {"cuStreamSynchronize", "cuMemcpyDtoHAsync", "cuMemcpyHtoDAsync", "cuMemFree", "cuCtxSynchronize"}
ON_STREAM = {
    "cuMemsetD8Async": 3,
    "cuMemcpyDtoDAsync": 3,
    "cuLaunchKernel": 8,
    "cuLaunchCooperativeKernel": 8,
}
STATES = ("h", "c")


@pytest.fixture(scope="module")
def gpu_artifact() -> sprnnc.Artifact:
    return sprnnc.compile(
        EXAMPLES / "lstm.sprnn",
        random_weights=3,
        batch=BATCH,
        target="sm_90",
        sizes={"I": 10, "H": 40},
        schedule={"blocks": 2, "threads": 64, "steps_per_launch": 5},
    )


@pytest.fixture
def quiet(gpu_artifact: sprnnc.Artifact, monkeypatch: pytest.MonkeyPatch) -> tuple[Layer, QuietDriver]:
    layer, driver = quiet_layer(gpu_artifact, monkeypatch)
    return layer, driver


def states() -> dict[str, Any]:
    return {name: on_gpu(BATCH, 40, pointer=(2 + i) << 16) for i, name in enumerate(STATES)}


def streams(driver: QuietDriver) -> set[int]:
    return {call[1 + ON_STREAM[call[0]]] for call in driver.calls if call[0] in ON_STREAM}


def test_a_call_on_a_stream_enqueues_there_and_waits_for_nothing(quiet: tuple[Layer, QuietDriver]) -> None:
    layer, driver = quiet
    out = on_gpu(12, BATCH, 40, pointer=9 << 16), states()
    y, after = layer(on_gpu(12, BATCH, 10), states(), stream=77, out=out)
    assert y is out[0] and after == out[1]
    driver.calls.clear()
    layer(on_gpu(12, BATCH, 10), states(), stream=77, out=out)
    assert streams(driver) == {77}
    assert not WAITS & set(driver.names()) and "cuMemAlloc" not in driver.names()  # so it can be captured
    assert driver.names().count("cuLaunchCooperativeKernel") == 3  # chunks of 5, 5 and 2
    driver.calls.clear()
    layer.check()
    assert "cuStreamSynchronize" in driver.names()
    driver.calls.clear()
    layer.check()
    assert "cuStreamSynchronize" not in driver.names()  # nothing ran since


def test_each_stream_has_memory_of_its_own(quiet: tuple[Layer, QuietDriver]) -> None:
    layer, driver = quiet
    places = []
    for stream in (5, 6):
        driver.calls.clear()
        layer(on_gpu(3, BATCH, 10), stream=stream)
        places.append({call[1] for call in driver.calls if call[0] == "cuMemsetD8Async"})
    assert not places[0] & places[1]


def test_states_may_be_written_where_they_were_read(quiet: tuple[Layer, QuietDriver]) -> None:
    layer, driver = quiet
    both = states()
    layer(on_gpu(3, BATCH, 10), both, stream=5, out=(on_gpu(3, BATCH, 40), both))
    assert "cuMemcpyDtoDAsync" not in driver.names()


def test_a_bound_step_asks_for_its_launches_and_little_else(quiet: tuple[Layer, QuietDriver]) -> None:
    layer, driver = quiet
    step = layer.stream(stream=77).bind(on_gpu(1, BATCH, 10))
    step()
    driver.calls.clear()
    step()
    wanted = ["cuStreamIsCapturing", "cuLaunchKernel", "cuLaunchCooperativeKernel"]
    assert driver.names() == ["cuCtxPushCurrent", *wanted, "cuCtxPopCurrent"]
    assert streams(driver) == {77}
    driver.captures = 1
    driver.calls.clear()
    step()
    assert driver.names()[-3:-1] == wanted[-2:]
    assert "cuMemsetD8Async" in driver.names() and not WAITS & set(driver.names())
    assert streams(driver) == {77}


@pytest.mark.parametrize(
    "given",
    [
        {"state": {"h": np.zeros((BATCH, 40), np.float32)}},
        {"lengths": [3, 2]},
        {"x": np.zeros((3, BATCH, 10), np.float32)},
    ],
    ids=["state", "lengths", "x"],
)
def test_a_call_on_a_stream_takes_no_arrays_of_the_host(quiet: tuple[Layer, QuietDriver], given: Any) -> None:
    layer, _ = quiet
    with pytest.raises(InputError, match="on the GPU only"):
        layer(**{"x": on_gpu(3, BATCH, 10), "stream": 5, **given})


class Named:
    def __init__(self, **attributes: Any) -> None:
        vars(self).update(attributes)


class Protocol:
    def __cuda_stream__(self) -> tuple[int, int]:
        return 0, 13


@pytest.mark.parametrize(
    ("stream", "handle"),
    [
        (9, 9),
        (0, 1),
        (Named(cuda_stream=11), 11),
        (Named(cuda_stream=0), 1),
        (Named(ptr=12), 12),
        (Protocol(), 13),
    ],
)
def test_streams_of_many_libraries(stream: Any, handle: int) -> None:
    assert stream_handle(stream) == handle


@pytest.mark.parametrize("stream", ["7", 1.5, True, -1, object()])
def test_what_is_no_stream(stream: Any) -> None:
    with pytest.raises(InputError, match="no stream"):
        stream_handle(stream)
