"""Arrays that are borrowed and lent: how long they are kept, and in which context; without a GPU."""

from __future__ import annotations

import weakref
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sprnn_runtime import InputError, Layer
from sprnn_runtime.cuda_device import CudaDevice
from sprnn_runtime.sim_device import SimDevice

import sprnnc

NO_PHASES = """\
cell Mix(H) {
  input  x[H]
  state  h[H]
  weight a[H]

  h' = a * h + x
  output h'
}

model mix {
  layer main = Mix(H=8)
}
"""


class BorrowingSim(SimDevice):
    """Sim that reads NumPy arrays in place, and notes what still lived when it was waited for."""

    def __init__(self, artifact: sprnnc.Artifact) -> None:
        super().__init__(artifact.kernel_source, artifact.manifest.kernels)
        self.borrowed: list[weakref.ref[Any]] = []
        self.alive: list[bool] = []

    def accepts(self, array: Any) -> bool:
        return isinstance(array, np.ndarray)

    def borrow(self, array: Any, shape: tuple[int, ...], dtype: str = "float32") -> np.ndarray:
        if array.shape != shape:
            raise InputError("E604", "wrong shape")
        memory = np.ascontiguousarray(array, np.float32).reshape(-1).view(np.uint8)
        self.borrowed.append(weakref.ref(memory))
        return memory

    def synchronise(self) -> None:
        self.alive += [r() is not None for r in self.borrowed]


@pytest.mark.parametrize("phases", [True, False])
def test_what_is_borrowed_is_kept_until_the_kernels_are_done(artifact: sprnnc.Artifact, phases: bool) -> None:
    if not phases:
        artifact = sprnnc.compile(NO_PHASES, random_weights=0, target="sim", batch=2)
    manifest = artifact.manifest
    device = BorrowingSim(artifact)
    layer = Layer(artifact.loaded(), device)
    x = np.ones((3, manifest.batch, manifest.input_size), np.float32)
    state = {
        s["name"]: np.ones((manifest.batch, s["size"]), np.float32) for s in manifest.to_json()["states"]
    }
    y, _ = layer(x, state)
    assert device.alive == [True] * (1 + len(state))
    wanted = sprnnc.execute(artifact, x, state, device="reference").y
    np.testing.assert_allclose(y, wanted, rtol=1e-5, atol=1e-6)


def test_a_refused_state_waits_too(artifact: sprnnc.Artifact) -> None:
    device = BorrowingSim(artifact)
    x = np.ones((3, 2, 10), np.float32)
    with pytest.raises(InputError):
        Layer(artifact.loaded(), device)(x, {"h": np.ones((2, 40), np.float32), "c": np.ones(1, np.float32)})
    assert device.alive == [True, True]


RESULTS = {"cuDeviceGetName": b"GPU\0", "cuStreamCreate": 1, "cuEventCreate": 1, "cuMemAlloc": 1}


class Driver:
    """Notes the names of its calls, all of which succeed."""

    CUevent_flags = SimpleNamespace(CU_EVENT_DISABLE_TIMING=2)

    def __init__(self) -> None:
        self.calls: list[str] = []

    def __getattr__(self, name: str, results: dict[str, Any] = RESULTS) -> Any:
        result = (0, results[name]) if name in results else (0,)

        def call(*_: Any) -> tuple[int, ...]:
            self.calls.append(name)
            return result

        return call

    def CUstream(self, stream: int) -> int:
        return stream


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> CudaDevice:
    monkeypatch.setattr("sprnn_runtime.cuda_device._driver", Driver)
    monkeypatch.setattr(CudaDevice, "_retain_context", lambda self: vars(self).update(_device=0, _context=1))
    monkeypatch.setattr(CudaDevice, "_check_arch", lambda *_: None)
    monkeypatch.setattr(Driver, "CUstream_flags", SimpleNamespace(CU_STREAM_NON_BLOCKING=1), raising=False)
    return CudaDevice(b"code", "sm_90", [])


def test_an_array_is_taken_and_freed_in_the_context_of_its_device(device: CudaDevice) -> None:
    array, driver = device.lend(device.allocate(64), (4, 4)), device._driver
    driver.calls.clear()
    array.__dlpack__(stream=7)
    assert driver.calls[0] == "cuCtxPushCurrent" and driver.calls[-1] == "cuCtxPopCurrent"
    assert "cuStreamWaitEvent" in driver.calls
    driver.calls.clear()
    memory = device.allocate(64)
    del memory
    assert driver.calls[-3:] == ["cuCtxPushCurrent", "cuMemFree", "cuCtxPopCurrent"]


def test_an_array_that_was_lent_outlives_its_device(device: CudaDevice) -> None:
    array, driver = device.lend(device.allocate(64), (4, 4)), device._driver
    device.close()
    assert driver.calls.index("cuStreamSynchronize") < driver.calls.index("cuStreamDestroy")
    driver.calls.clear()
    array.__dlpack__(stream=7)
    assert driver.calls == []  # the stream is gone, and all of its work is done
