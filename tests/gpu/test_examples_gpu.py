"""Every example on the GPU: right against the oracle, without spills, in both exchange ways."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import sprnn_runtime
from drawn import CELLS, LIMIT, cases
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from sprnn_runtime.layer import open_layer

import sprnnc

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.sprnn"))


def target() -> str:
    """The target of the GPU at hand."""
    from cuda.bindings import driver

    driver.cuInit(0)
    kind = driver.CUdevice_attribute
    major = driver.cuDeviceGetAttribute(kind.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, 0)[1]
    minor = driver.cuDeviceGetAttribute(kind.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, 0)[1]
    return f"sm_{major}{minor}"


def draw(steps: int, batch: int, size: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((steps, batch, size)).astype(np.float32)


@pytest.mark.parametrize("exchange", ["lamport", "barrier"])
@pytest.mark.parametrize("dtype", ["fp32", "fp16", "bf16"])
@pytest.mark.parametrize("batch", [1, 3, 4, 9])
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_example_agrees_with_reference(path: Path, batch: int, dtype: str, exchange: str) -> None:
    artifact = sprnnc.compile(
        path, random_weights=7, batch=batch, target=target(), dtype=dtype, schedule={"exchange": exchange}
    )
    assert all(r.spill_bytes == 0 for r in artifact.manifest.resources.values())
    run = sprnnc.execute(artifact, draw(64, batch, artifact.manifest.input_size), device="cuda", check=True)
    assert run.device == "cuda"
    assert run.error is not None and run.error < LIMIT[dtype]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_chunks_and_carried_states_equal_one_call(path: Path) -> None:
    artifact = sprnnc.compile(path, random_weights=7, batch=2, target=target())
    chunked = sprnnc.compile(
        path, random_weights=7, batch=2, target=target(), schedule={"steps_per_launch": 5}
    )
    x = draw(23, 2, artifact.manifest.input_size)
    with open_layer(artifact.loaded(), "cuda") as layer, open_layer(chunked.loaded(), "cuda") as other:
        y, state = layer(x)
        first, middle = layer(x[:11])
        second, end = layer(x[11:], middle)
        np.testing.assert_array_equal(np.concatenate([first, second]), y)
        np.testing.assert_array_equal(other(x)[0], y)
        for name in state:
            np.testing.assert_array_equal(end[name], state[name])


@pytest.mark.parametrize("dtype", ["fp32", "fp16", "bf16"])
@pytest.mark.parametrize("inputs", [40, 41])
def test_a_vendors_products_and_joined_ones_agree_with_the_kernels(inputs: int, dtype: str) -> None:
    path = next(p for p in EXAMPLES if p.stem == "lstm")
    made = {
        way: sprnnc.compile(
            path,
            random_weights=7,
            batch=3,
            target=target(),
            dtype=dtype,
            sizes={"I": inputs, "H": 256},
            schedule={"input_products": way},
        )
        for way in ("library", "kernel", "joined")
    }
    x = draw(300, 3, inputs)
    for artifact in made.values():
        run = sprnnc.execute(artifact, x, device="cuda", check=True)
        assert run.error is not None and run.error < LIMIT[dtype]
    for way in ("library", "joined"):
        with open_layer(made[way].loaded(), "cuda") as layer:
            whole, _ = layer(x)
            first, middle = layer(x[:7])
            second, _ = layer(x[7:], middle)
        np.testing.assert_array_equal(np.concatenate([first, second]), whole)


@pytest.mark.parametrize("way", [{}, {"fetch": "threads"}, {"exchange": "barrier"}], ids=str)
@pytest.mark.parametrize("cell", CELLS)
def test_products_of_the_inputs_join_the_loop(cell: str, way: dict[str, str]) -> None:
    artifact = sprnnc.compile(
        next(p for p in EXAMPLES if p.stem == cell),
        random_weights=7,
        batch=5,
        target=target(),
        dtype="fp16",
        sizes={"I": 200, "H": 512},
        schedule={"input_products": "joined"} | way,
    )
    run = sprnnc.execute(artifact, draw(300, 5, 200), device="cuda", check=True)
    assert run.error is not None and run.error < LIMIT["fp16"]


@pytest.mark.parametrize("cell", CELLS)
@settings(max_examples=12, phases=(Phase.generate,))  # a hang costs seconds: no shrinking
@given(data=st.data())
def test_drawn_sizes_densities_and_schedules_agree(cell: str, data: st.DataObject) -> None:
    case = data.draw(cases(cell, target=target()))
    run = sprnnc.execute(case.artifact, case.x, device="cuda", check=True)
    assert run.error is not None and run.error < LIMIT[case.artifact.manifest.dtype]


@pytest.mark.parametrize("tile", [(4, 4), (8, 1), (1, 4), (2, 2), (2, 8)], ids=str)
@settings(max_examples=6, phases=(Phase.generate,))
@given(data=st.data())
def test_blocks_with_one_index_agree(tile: tuple[int, int], data: st.DataObject) -> None:
    cell = data.draw(st.sampled_from(["elman_tanh", "gru_reset_before", "lstm", "lstm_projection"]))
    case = data.draw(cases(cell, tile, target=target()))
    run = sprnnc.execute(case.artifact, case.x, device="cuda", check=True)
    assert run.error is not None and run.error < LIMIT[case.artifact.manifest.dtype]


def test_nan_and_inf_flow_through_and_nothing_hangs() -> None:
    artifact = sprnnc.compile(
        EXAMPLES[0].with_name("elman_tanh.sprnn"), random_weights=7, batch=2, target=target()
    )
    x = draw(16, 2, artifact.manifest.input_size)
    x[3, 0, 0], x[5, 1, 1] = np.nan, np.inf
    run = sprnnc.execute(artifact, x, device="cuda")
    reference = sprnnc.execute(artifact, x, device="reference")
    assert np.isnan(run.y[4:, 0]).any()
    np.testing.assert_array_equal(np.isnan(run.y), np.isnan(reference.y))


def test_a_spent_budget_is_an_error_that_names_the_place() -> None:
    path = EXAMPLES[0].with_name("lstm.sprnn")
    artifact = sprnnc.compile(path, random_weights=7, batch=1, target=target())
    broken = artifact.kernel_source.replace(
        "publish<Storage, kWidth>(slot,", "if (!(blockIdx.x == 1 && t == 5)) publish<Storage, kWidth>(slot,"
    )
    assert broken != artifact.kernel_source
    from sprnn_runtime.loaded import Loaded

    from sprnnc.build.nvrtc import build_cubin

    cubin = build_cubin(broken, target()).code
    loaded = Loaded(artifact.manifest, broken, cubin, artifact.packed)
    with open_layer(loaded, "cuda") as layer:
        with pytest.raises(sprnn_runtime.WaitTimeout, match="step 5") as caught:
            layer(draw(16, 1, artifact.manifest.input_size), budget_ns=50_000_000)
        assert caught.value.phase == 1
    run = sprnnc.execute(artifact, draw(16, 1, artifact.manifest.input_size), device="cuda", check=True)
    assert run.error is not None and run.error < 1e-5


def test_dlpack_in_and_out_without_a_copy() -> None:
    torch = pytest.importorskip("torch")
    artifact = sprnnc.compile(EXAMPLES[0].with_name("lstm.sprnn"), random_weights=7, batch=2, target=target())
    x = draw(32, 2, artifact.manifest.input_size)
    with open_layer(artifact.loaded(), "cuda") as layer:
        expected, states = layer(x)
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            on_gpu = torch.from_numpy(x).cuda(non_blocking=True) * 1.0
            y, after = layer(on_gpu, {"h": torch.zeros(2, states["h"].shape[1], device="cuda")})
            doubled = torch.from_dlpack(y) * 2.0
        stream.synchronize()
        np.testing.assert_array_equal(doubled.cpu().numpy(), expected * 2)
        np.testing.assert_array_equal(torch.from_dlpack(after["c"]).cpu().numpy(), states["c"])
        with pytest.raises(sprnn_runtime.InputError, match="not float32"):
            layer(on_gpu.half())
        with pytest.raises(sprnn_runtime.InputError, match="expected"):
            layer(on_gpu[:, :1].contiguous())


def test_two_layers_run_at_once_on_their_own_streams() -> None:
    path = EXAMPLES[0].with_name("lstm.sprnn")
    artifact = sprnnc.compile(path, random_weights=7, batch=2, target=target(), schedule={"blocks": 16})
    x = draw(64, 2, artifact.manifest.input_size)
    from concurrent.futures import ThreadPoolExecutor

    with open_layer(artifact.loaded(), "cuda") as a, open_layer(artifact.loaded(), "cuda") as b:
        expected = a(x)[0]
        with ThreadPoolExecutor(4) as pool:
            results = list(pool.map(lambda i: (a, b)[i % 2](x)[0], range(16)))
    for y in results:
        np.testing.assert_array_equal(y, expected)
