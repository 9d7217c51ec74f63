"""Lengths, streaming, the caller's streams and CUDA graphs on the GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sprnn_runtime.layer import Layer, open_layer
from test_examples_gpu import draw, target

import sprnnc

EXAMPLES = Path(__file__).parents[2] / "examples"
CELLS = ["lstm", "gru_reset_before", "elman_tanh"]


def compiled(cell: str, batch: int = 3, **schedule: Any) -> sprnnc.Artifact:
    path = EXAMPLES / f"{cell}.sprnn"
    return sprnnc.compile(path, random_weights=7, batch=batch, target=target(), schedule=schedule)


@pytest.fixture(params=["lamport", "barrier"])
def layer(request: pytest.FixtureRequest) -> Any:
    with open_layer(compiled("lstm", exchange=request.param).loaded(), "cuda") as made:
        yield made


@pytest.mark.parametrize("exchange", ["lamport", "barrier"])
@pytest.mark.parametrize("cell", CELLS)
def test_lengths_and_fewer_columns(cell: str, exchange: str) -> None:
    artifact = compiled(cell, batch=6, exchange=exchange, steps_per_launch=16)
    x = draw(50, 6, artifact.manifest.input_size)
    run = sprnnc.execute(artifact, x, lengths=[50, 0, 16, 17, 49, 1], device="cuda", check=True)
    assert run.error is not None and run.error < 1e-5
    with open_layer(artifact.loaded(), "cuda") as made:
        whole, states = made(x)
        for batch in (1, 5):
            y, after = made(x[:, :batch])
            np.testing.assert_array_equal(y, whole[:, :batch])
            for name, state in after.items():
                np.testing.assert_array_equal(state, states[name][:batch])


@pytest.mark.parametrize("cell", CELLS)
def test_a_hundred_thousand_steps(cell: str) -> None:
    artifact = compiled(cell, batch=1)
    x = draw(100_000, 1, artifact.manifest.input_size)
    with open_layer(artifact.loaded(), "cuda") as made:
        y, _ = made(x)
        before = made(x[:-64])[1]
        np.testing.assert_array_equal(made(x[-64:], before)[0], y[-64:])
    expected = sprnnc.execute(artifact, x[-64:], before, device="reference").y
    np.testing.assert_allclose(y[-64:], expected, atol=1e-5)


@pytest.mark.parametrize("sizes", [[1] * 70, [5, 1, 64], [70]], ids=["ones", "mixed", "whole"])
def test_chunks_give_the_bits_of_one_call(layer: Layer, sizes: list[int]) -> None:
    torch = pytest.importorskip("torch")
    x = draw(70, 3, layer.manifest.input_size)
    expected, last = layer(x)
    chunks = np.split(x, np.cumsum(sizes)[:-1])
    stream = layer.stream()
    np.testing.assert_array_equal(np.concatenate([stream(part) for part in chunks]), expected)
    side = torch.cuda.Stream()
    stream = layer.stream(stream=side)
    with torch.cuda.stream(side):
        parts = [torch.from_dlpack(stream(torch.from_numpy(c).cuda())).clone() for c in chunks]
    stream.check()
    np.testing.assert_array_equal(torch.cat(parts).cpu().numpy(), expected)
    for name, state in stream.state.items():
        np.testing.assert_array_equal(torch.from_dlpack(state).cpu().numpy(), last[name])


def test_a_captured_step_gives_the_bits_of_one_call_between_others(layer: Layer) -> None:
    torch = pytest.importorskip("torch")
    x = draw(41, 3, layer.manifest.input_size)
    expected, _ = layer(x)
    on_gpu, side = torch.from_numpy(x).cuda(), torch.cuda.Stream()
    torch.cuda.synchronize()
    stream = layer.stream(stream=side)
    with torch.cuda.stream(side):
        held = on_gpu[:1].clone()
        step = stream.bind(held)
        y = torch.from_dlpack(step())
        np.testing.assert_array_equal(y.cpu().numpy(), expected[:1])
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=side):
        step()
    with torch.cuda.stream(side):
        for t in range(1, 41, 2):
            held.copy_(on_gpu[t : t + 1])
            graph.replay()
            np.testing.assert_array_equal(y.cpu().numpy(), expected[t : t + 1])
            held.copy_(on_gpu[t + 1 : t + 2])
            step()
            np.testing.assert_array_equal(y.cpu().numpy(), expected[t + 1 : t + 2])
    stream.check()


def test_a_captured_call(layer: Layer) -> None:
    torch = pytest.importorskip("torch")
    size = layer.manifest.output_size
    x, side = draw(20, 3, layer.manifest.input_size), torch.cuda.Stream()
    expected, last = layer(x, lengths=[20, 3, 11])
    with torch.cuda.stream(side):
        held = torch.zeros(x.shape, device="cuda")
        lengths = torch.tensor([20, 3, 11], device="cuda", dtype=torch.int32)
        y = torch.empty(20, 3, size, device="cuda")
        states = {name: torch.empty(3, last[name].shape[1], device="cuda") for name in last}
        layer(held, lengths=lengths, stream=side, out=(y, states))
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=side):
        layer(held, lengths=lengths, stream=side, out=(y, states))
    with torch.cuda.stream(side):
        held.copy_(torch.from_numpy(x).cuda())
        for _ in range(3):
            graph.replay()
    side.synchronize()
    layer.check()
    np.testing.assert_array_equal(y.cpu().numpy(), expected)
    for name in last:
        np.testing.assert_array_equal(states[name].cpu().numpy(), last[name])


def test_a_failure_is_reported_when_asked() -> None:
    torch = pytest.importorskip("torch")
    from sprnn_runtime import WaitTimeout
    from sprnn_runtime.loaded import Loaded

    from sprnnc.build.nvrtc import build_cubin

    artifact = compiled("lstm", batch=1)
    publish = "publish<Storage, kWidth>(slot,"
    broken = artifact.kernel_source.replace(publish, f"if (!(blockIdx.x == 1 && t == 5)) {publish}")
    loaded = Loaded(artifact.manifest, broken, build_cubin(broken, target()).code, artifact.packed)
    with open_layer(loaded, "cuda") as made:
        x = torch.zeros(16, 1, artifact.manifest.input_size, device="cuda")
        current = torch.cuda.current_stream()
        made(x, stream=current, budget_ns=50_000_000)
        made(x[:3], stream=current)
        with pytest.raises(WaitTimeout, match="step 5"):
            made.check()
        made.check()


@pytest.mark.parametrize("exchange", ["lamport", "barrier"])
def test_columns_begin_anew_where_a_mask_says_so(exchange: str) -> None:
    torch = pytest.importorskip("torch")
    artifact = compiled("gru_reset_before", batch=6, exchange=exchange, steps_per_launch=16, resets="by_mask")
    x, resets = draw(50, 6, artifact.manifest.input_size), np.random.default_rng(2).random((50, 6)) < 0.1
    run = sprnnc.execute(artifact, x, resets=resets, device="cuda", check=True)
    assert run.error is not None and run.error < 1e-5
    with open_layer(artifact.loaded(), "cuda") as made:
        mask = torch.from_numpy(resets).cuda()
        y, _ = made(torch.from_numpy(x).cuda(), resets=mask)
        np.testing.assert_array_equal(torch.from_dlpack(y).cpu().numpy(), run.y)
        stream = made.stream()
        parts = [stream(x[:7], resets=resets[:7]), stream(x[7:], resets=resets[7:])]
        np.testing.assert_array_equal(np.concatenate(parts), run.y)
