"""Contexts and threads on a real GPU: a caller's context stays current, and layers run at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sprnn_runtime.layer import open_layer
from test_examples_gpu import draw, target

import sprnnc

EXAMPLE = Path(__file__).parents[2] / "examples/lstm.sprnn"


@pytest.fixture(scope="module")
def artifact() -> sprnnc.Artifact:
    return sprnnc.compile(EXAMPLE, random_weights=7, batch=2, target=target())


@pytest.fixture
def own_context() -> Iterator[int]:
    """A context of the test's own, not the GPU's primary one, current in this thread."""
    from cuda.bindings import driver

    status, context = driver.cuCtxCreate(None, 0, driver.cuDeviceGet(0)[1])
    assert int(status) == 0
    yield int(context)
    driver.cuCtxDestroy(context)


def current() -> int:
    from cuda.bindings import driver

    return int(driver.cuCtxGetCurrent()[1])


def test_a_caller_keeps_its_context(artifact: sprnnc.Artifact, own_context: int) -> None:
    x = draw(16, 2, artifact.manifest.input_size)
    assert current() == own_context
    with open_layer(artifact.loaded(), "cuda") as layer:
        assert current() == own_context
        y, _ = layer(x)
        assert current() == own_context
        layer.time_us(x, 2)
        assert current() == own_context
    assert current() == own_context
    wanted = sprnnc.execute(artifact, x, device="reference").y
    np.testing.assert_allclose(y, wanted, atol=1e-5)


def test_a_thread_without_a_context_has_none_afterwards(artifact: sprnnc.Artifact) -> None:
    x = draw(16, 2, artifact.manifest.input_size)
    seen: list[int] = []

    def work() -> None:
        seen.append(current())
        with open_layer(artifact.loaded(), "cuda") as layer:
            layer(x)
        seen.append(current())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [0, 0]


def test_threads_and_layers_do_not_meet(artifact: sprnnc.Artifact) -> None:
    x = draw(64, 2, artifact.manifest.input_size)
    layers = [open_layer(artifact.loaded(), "cuda") for _ in range(3)]
    wanted, _ = layers[0](x)
    got: list[np.ndarray] = []

    def work(number: int) -> None:
        got.extend(layers[(number + i) % 3](x)[0] for i in range(6))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for layer in layers:
        layer.close()
    assert len(got) == 36
    for y in got:
        np.testing.assert_array_equal(y, wanted)
