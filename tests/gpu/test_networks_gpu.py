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
    run = sprnnc.execute(case.artifact, case.x, case.state, device="cuda")
    reference = sprnnc.execute(case.artifact, case.x, case.state, device="reference")
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
