"""Several GPUs and contexts: all happens in the context of the layer's GPU, and callers keep theirs."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import sprnn_runtime.cuda_device as cuda_device
from fake_driver import FakeDriver
from sprnn_runtime import DeviceError, Layer, Unavailable
from sprnn_runtime.layer import open_layer
from sprnn_runtime.loaded import Loaded

import sprnnc


class Driver:
    """Two GPUs; a stack of contexts for every thread, and where each call was made that needs one."""

    def __init__(self) -> None:
        self.made: list[tuple[str, str]] = []
        self.failing = ""
        self._inner = FakeDriver()
        self._local = threading.local()

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        return partial(self._call, name, value) if name.startswith("cu") else value

    def _call(self, name: str, call: Callable[..., Any], *args: Any) -> Any:
        self.made.append((name, self.stack[-1] if self.stack else "none"))
        return (1, None) if name == self.failing else call(*args)

    def cuDeviceGetCount(self) -> tuple[int, int]:
        return 0, 2

    def cuDeviceGet(self, number: int) -> tuple[int, int]:
        return 0, number

    def cuDeviceGetAttribute(self, name: str, device: int) -> tuple[int, int]:
        return self._inner.cuDeviceGetAttribute(name, device)

    def cuDevicePrimaryCtxRetain(self, device: int) -> tuple[int, str]:
        return 0, f"primary {device}"

    def cuCtxPushCurrent(self, context: str) -> tuple[int]:
        self.stack.append(context)
        return (0,)

    def cuCtxPopCurrent(self) -> tuple[int, str]:
        return 0, self.stack.pop()

    def cuGetErrorString(self, status: int) -> tuple[int, bytes]:
        return 0, b"it fails"

    @property
    def stack(self) -> list[str]:
        """Of the calling thread, the current context last."""
        if not hasattr(self._local, "stack"):
            self._local.stack = []
        stack: list[str] = self._local.stack
        return stack

    @property
    def places(self) -> set[str]:
        return {where for _, where in self.made}


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    made = Driver()
    monkeypatch.setattr(cuda_device, "_driver", lambda: made)
    return made


@pytest.fixture(scope="module")
def loaded(artifact: sprnnc.Artifact) -> Loaded:
    """The small layer as if it had been compiled for a GPU."""
    return replace(artifact.loaded(), manifest=replace(artifact.manifest, arch="sm_90"), cubin=b"code")


def opened(loaded: Loaded, device_id: int) -> Layer:
    return open_layer(loaded, "cuda", device_id=device_id)


@pytest.mark.parametrize("device_id", [0, 1])
@pytest.mark.parametrize("mine", [[], ["mine"], ["below", "mine"]], ids=len)
def test_a_caller_keeps_its_context(
    driver: Driver, loaded: Loaded, x: np.ndarray, device_id: int, mine: list[str]
) -> None:
    driver.stack.extend(mine)
    layer = opened(loaded, device_id)
    assert driver.stack == mine
    layer(x)
    assert driver.stack == mine
    layer.close()
    del layer
    gc.collect()
    assert driver.stack == mine
    assert driver.places == {f"primary {device_id}"}
    names = [name for name, _ in driver.made]
    assert names.count("cuMemAlloc") == names.count("cuMemFree") > 3


def test_layers_of_two_gpus_in_two_threads_do_not_meet(driver: Driver, loaded: Loaded, x: np.ndarray) -> None:
    layers = [opened(loaded, n) for n in (0, 1)]
    driver.made.clear()
    seen: list[tuple[int, list[str]]] = []

    def work(first: int) -> None:
        driver.stack.append(f"of thread {first}")
        for n in (first, 1 - first, first):
            layers[n](x)
            seen.append((first, list(driver.stack)))

    threads = [threading.Thread(target=work, args=(n,)) for n in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == [(n, [f"of thread {n}"]) for n in (0, 0, 0, 1, 1, 1)]
    assert driver.places == {"primary 0", "primary 1"}


@pytest.mark.parametrize("failing", ["cuMemcpyHtoDAsync", "cuLaunchCooperativeKernel", "cuMemcpyDtoHAsync"])
def test_a_failure_leaves_the_caller_s_context_too(
    driver: Driver, loaded: Loaded, x: np.ndarray, failing: str
) -> None:
    driver.stack.append("mine")
    layer = opened(loaded, 1)
    driver.failing = failing
    with pytest.raises(DeviceError, match=f"{failing} failed: it fails"):
        layer(x)
    assert driver.stack == ["mine"]


@pytest.mark.parametrize(
    "failing", ["cuModuleLoadData", "cuModuleGetFunction", "cuMemAlloc", "cuMemcpyHtoDAsync"]
)
def test_a_layer_that_cannot_be_opened_leaves_nothing(driver: Driver, loaded: Loaded, failing: str) -> None:
    driver.failing = failing
    with pytest.raises(DeviceError):
        opened(loaded, 1)
    gc.collect()
    assert driver.stack == [] and driver.places == {"primary 1"}
    names = [name for name, _ in driver.made]
    assert names.count("cuStreamCreate") == names.count("cuStreamDestroy") == 1
    assert names.count("cuModuleLoadData") == names.count("cuModuleUnload") + (failing == "cuModuleLoadData")
    assert names.count("cuMemAlloc") - names.count("cuMemFree") == (failing == "cuMemAlloc")


def test_a_gpu_that_is_not_there_is_named(driver: Driver, loaded: Loaded) -> None:
    for device_id in (2, -1):
        with pytest.raises(Unavailable, match=f"there is no GPU {device_id}; this machine has 2"):
            opened(loaded, device_id)
    assert driver.made == []
