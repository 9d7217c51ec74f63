"""Whole models on the GPU: right against the oracle, in one stream, from GPU arrays and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from drawn import LIMIT
from drawn_networks import networks
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from sprnn_runtime.network import Network, open_network
from test_examples_gpu import draw, target

import sprnnc
from sprnnc.cli.random_input import random_input
from sprnnc.schedule.network_plan import Fork

MODELS = sorted((Path(__file__).parents[2] / "examples/models").glob("*.sprnn"))


@pytest.mark.parametrize("dtype", ["fp32", "fp16", "bf16"])
@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("path", MODELS, ids=lambda p: p.stem)
def test_a_model_agrees_with_reference(path: Path, batch: int, dtype: str) -> None:
    artifact = sprnnc.compile(path, random_weights=7, batch=batch, target=target(), dtype=dtype)
    assert all(r.spill_bytes == 0 for r in artifact.manifest.resources.values())
    run = sprnnc.execute(artifact, random_input(artifact, 200, 0), device="cuda", check=True)
    assert run.device == "cuda"
    assert run.error is not None and run.error < LIMIT[dtype]


@settings(max_examples=30, phases=[Phase.explicit, Phase.generate])
@given(data=st.data())
def test_drawn_networks_agree_with_reference(data: st.DataObject) -> None:
    case = data.draw(networks(target=target()))
    limit = LIMIT[case.artifact.manifest.dtype]
    lengths = case.lengths
    run = sprnnc.execute(case.artifact, case.x, case.state, lengths=lengths, device="cuda")
    reference = sprnnc.execute(case.artifact, case.x, case.state, lengths=lengths, device="reference")
    for name, exact in {"y": reference.y, **reference.state}.items():
        got = {"y": run.y, **run.state}[name]
        assert np.linalg.norm(got - exact) <= limit * max(1.0, float(np.linalg.norm(exact))), name


@pytest.fixture
def network() -> Network:
    path = next(p for p in MODELS if p.stem == "bidirectional")
    artifact = sprnnc.compile(
        path, random_weights=7, batch=2, target=target(), schedule={"steps_per_launch": 9}
    )
    return open_network(artifact.loaded(), "cuda")


def test_calls_do_not_know_of_each_other(network: Network) -> None:
    x, size = draw(40, 2, 20), network.manifest.output_size
    y, state = network(x)
    one = network(draw(40, 2, 20, seed=1))[0]  # other numbers in the same memory
    again, after = network(x)
    np.testing.assert_array_equal(again, y)
    assert not np.array_equal(one, y) and y.shape == (40, 2, size)
    for name in state:
        np.testing.assert_array_equal(after[name], state[name])


def test_arrays_of_other_libraries_stay_on_the_gpu(network: Network) -> None:
    torch = pytest.importorskip("torch")
    x = draw(40, 2, 20)
    wanted, ends = network(x)
    y, state = network(torch.from_numpy(x).cuda())
    np.testing.assert_array_equal(torch.from_dlpack(y).cpu().numpy(), wanted)
    for name, end in ends.items():
        np.testing.assert_array_equal(torch.from_dlpack(state[name]).cpu().numpy(), end)


def test_a_call_is_timed_as_a_whole(network: Network) -> None:
    times = network.time_us(draw(64, 2, 20), 5)
    assert len(times) == 5 and all(0.1 < t < 1e4 for t in times)
    network.close()


def test_a_captured_call_with_lengths(network: Network) -> None:
    torch = pytest.importorskip("torch")
    x, side = draw(40, 2, 20), torch.cuda.Stream()
    wanted, ends = network(x, lengths=[40, 13])
    with torch.cuda.stream(side):
        held = torch.zeros(x.shape, device="cuda")
        lengths = torch.tensor([40, 13], device="cuda", dtype=torch.int32)
        y = torch.empty(wanted.shape, device="cuda")
        states = {name: torch.empty(end.shape, device="cuda") for name, end in ends.items()}
        network(held, lengths=lengths, stream=side, out=(y, states))
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=side):
        network(held, lengths=lengths, stream=side, out=(y, states))
    with torch.cuda.stream(side):
        held.copy_(torch.from_numpy(x).cuda())
        for _ in range(3):
            graph.replay()
    side.synchronize()
    network.check()
    np.testing.assert_array_equal(y.cpu().numpy(), wanted)
    for name, end in ends.items():
        np.testing.assert_array_equal(states[name].cpu().numpy(), end)


def test_chunks_and_captured_steps_give_the_bits_of_one_call() -> None:
    torch = pytest.importorskip("torch")
    path = next(p for p in MODELS if p.stem == "residual")
    artifact = sprnnc.compile(path, random_weights=7, batch=3, target=target())
    with open_network(artifact.loaded(), "cuda") as network:
        x = draw(21, 3, artifact.manifest.input_size)
        expected, last = network(x)
        stream = network.stream()
        np.testing.assert_array_equal(np.concatenate([stream(x[:5]), stream(x[5:])]), expected)
        on_gpu, side = torch.from_numpy(x).cuda(), torch.cuda.Stream()
        torch.cuda.synchronize()
        stream = network.stream(stream=side)
        with torch.cuda.stream(side):
            held = on_gpu[:1].clone()
            step = stream.bind(held)
            y = torch.from_dlpack(step())
            np.testing.assert_array_equal(y.cpu().numpy(), expected[:1])
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=side):
            step()
        with torch.cuda.stream(side):
            for t in range(1, 21, 2):
                held.copy_(on_gpu[t : t + 1])
                graph.replay()
                np.testing.assert_array_equal(y.cpu().numpy(), expected[t : t + 1])
                held.copy_(on_gpu[t + 1 : t + 2])
                step()
                np.testing.assert_array_equal(y.cpu().numpy(), expected[t + 1 : t + 2])
        stream.check()
        for name, state in stream.state.items():
            np.testing.assert_array_equal(torch.from_dlpack(state).cpu().numpy(), last[name])


def test_layers_at_once_give_the_bits_that_they_give_one_by_one() -> None:
    path = next(p for p in MODELS if p.stem == "bidirectional")
    blocks = {"blocks": 4}  # the same kernels in both
    runs = []
    for at_once in ("fitting", "off"):
        artifact = sprnnc.compile(
            path, random_weights=7, batch=2, target=target(), schedule=blocks | {"at_once": at_once}
        )
        assert isinstance(artifact, sprnnc.NetworkArtifact)
        assert any(isinstance(s, Fork) for s in artifact.plan.steps) == (at_once == "fitting")
        x = draw(300, 2, artifact.manifest.input_size)
        with open_network(artifact.loaded(), "cuda") as network:
            runs += [network(x, lengths=[300, 41])[0] for _ in range(20)]
    for y in runs[1:]:
        np.testing.assert_array_equal(y, runs[0])


@pytest.mark.parametrize("size", [512])
def test_both_directions_at_once_take_less_time(size: int) -> None:
    path = next(p for p in MODELS if p.stem == "bidirectional")
    text = path.read_text(encoding="utf-8").replace("24", str(size)).replace("48", str(2 * size))
    times = {}
    for at_once in ("fitting", "off"):
        artifact = sprnnc.compile(
            text, random_weights=7, batch=1, target=target(), dtype="fp16", schedule={"at_once": at_once}
        )
        with open_network(artifact.loaded(), "cuda") as network:
            times[at_once] = min(network.time_us(draw(512, 1, artifact.manifest.input_size), 10))
    assert times["fitting"] < times["off"]
