"""Calling a layer: chunks, states, threads, wrong inputs, and devices that are not there."""

from __future__ import annotations

import tempfile
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sprnn_runtime
from small_layer import BATCH, STEPS, compile_lstm
from sprnn_runtime import InputError, Layer, Unavailable
from sprnn_runtime.errors import SprnnError
from sprnn_runtime.layer import open_layer

import sprnnc

State = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def layer(artifact: sprnnc.Artifact) -> Layer:
    return open_layer(artifact.loaded(), "sim")


@pytest.fixture(scope="module")
def whole(layer: Layer, x: np.ndarray) -> tuple[np.ndarray, State]:
    """One call over all steps."""
    y, state = layer(x)
    return y, state


def assert_equal_runs(got: tuple[np.ndarray, State], wanted: tuple[np.ndarray, State]) -> None:
    np.testing.assert_array_equal(got[0], wanted[0])
    assert got[1].keys() == wanted[1].keys()
    for name in wanted[1]:
        np.testing.assert_array_equal(got[1][name], wanted[1][name])


def test_a_loaded_file_runs_as_the_artifact_does(
    path: Path, x: np.ndarray, whole: tuple[np.ndarray, State]
) -> None:
    with sprnn_runtime.load(path, "sim") as layer:
        assert layer.device_name == "sim"
        assert_equal_runs(layer(x), whole)


def test_a_call_cut_into_launches_gives_the_same_bits(
    artifact: sprnnc.Artifact, x: np.ndarray, whole: tuple[np.ndarray, State]
) -> None:
    chunked = compile_lstm(steps_per_launch=5)
    assert chunked.manifest.steps_per_launch == 5 < STEPS < artifact.manifest.steps_per_launch
    assert_equal_runs(open_layer(chunked.loaded(), "sim")(x), whole)


@pytest.mark.parametrize("at", [1, 5, STEPS - 1])
def test_a_state_carried_by_the_caller_goes_on_where_the_first_call_stopped(
    layer: Layer, x: np.ndarray, whole: tuple[np.ndarray, State], at: int
) -> None:
    first, state = layer(x[:at])
    kept = {name: array.copy() for name, array in state.items()}
    second, after = layer(x[at:], state)
    assert_equal_runs((np.concatenate([first, second]), after), whole)
    for name, array in kept.items():
        np.testing.assert_array_equal(state[name], array, err_msg="a given state was changed")


def test_calls_are_independent_and_change_nothing_that_is_given(
    layer: Layer, x: np.ndarray, whole: tuple[np.ndarray, State]
) -> None:
    given = x.copy()
    longer = np.concatenate([x, x])
    layer(longer)
    assert_equal_runs(layer(given), whole)
    np.testing.assert_array_equal(given, x)


def test_a_missing_state_is_zero(layer: Layer, x: np.ndarray) -> None:
    size = layer.manifest.states[0].size
    one = {"c": np.full((BATCH, size), 0.5, np.float32)}
    assert_equal_runs(layer(x, one), layer(x, one | {"h": np.zeros((BATCH, size), np.float32)}))


def test_other_float_types_and_strides_are_converted(
    layer: Layer, x: np.ndarray, whole: tuple[np.ndarray, State]
) -> None:
    assert_equal_runs(layer(x.astype(np.float64)), whole)
    assert_equal_runs(layer(np.asfortranarray(x)), whole)
    assert_equal_runs(layer(np.repeat(x, 2, axis=0)[::2]), whole)


def test_nan_flows_through(layer: Layer, x: np.ndarray) -> None:
    poisoned = x.copy()
    poisoned[3, 1] = np.nan
    y, _ = layer(poisoned)
    assert np.isnan(y[3:, 1]).all()
    assert np.isfinite(y[:3]).all() and np.isfinite(y[:, 0]).all()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (np.zeros((3, BATCH, 9), np.float32), r"shape \[3, 2, 9\], expected \[T, 2, 10\]"),
        (np.zeros((3, 3, 10), np.float32), r"shape \[3, 3, 10\], expected \[T, 2, 10\], or fewer than 2"),
        (np.zeros((3, 10), np.float32), r"shape \[3, 10\], expected"),
        (np.zeros((0, BATCH, 10), np.float32), "no time steps"),
        (np.zeros((3, BATCH, 10), np.int32), "type int32, expected float32"),
        (np.zeros((3, BATCH, 10), complex), "type complex128"),
        (np.full((3, BATCH, 10), None), "type object"),
        ("x", "type <U1"),
        (None, "type object"),
    ],
)
def test_a_wrong_input_is_named(layer: Layer, given: object, says: str) -> None:
    with pytest.raises(InputError, match=says) as error:
        layer(given)
    assert error.value.code == "E604"


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ({"hidden": np.zeros((BATCH, 40), np.float32)}, r"unknown states \['hidden'\]; the cell has"),
        ({"h": np.zeros((BATCH, 41), np.float32)}, r"state 'h' has shape \[2, 41\], expected \[2, 40\]"),
        ({"c": np.zeros(40, np.float32)}, r"state 'c' has shape \[40\]"),
        ({"h": np.zeros((BATCH, 40), np.int64)}, "state 'h' has type int64, expected float32"),
        ({"h": np.full((BATCH, 40), "1")}, "state 'h' has type <U1"),
        ({"h": None}, "state 'h' has type object"),
    ],
)
def test_a_wrong_state_is_named(layer: Layer, x: np.ndarray, state: State, says: str) -> None:
    with pytest.raises(InputError, match=says) as error:
        layer(x, state)
    assert error.value.code == "E604"


@pytest.mark.parametrize("shared", [True, False], ids=["one layer", "a layer each"])
def test_four_threads_get_the_same_results(
    artifact: sprnnc.Artifact, layer: Layer, x: np.ndarray, whole: tuple[np.ndarray, State], shared: bool
) -> None:
    runs: list[tuple[np.ndarray, State]] = []
    start = threading.Barrier(4)

    def work(seed: int) -> None:
        mine = layer if shared else open_layer(artifact.loaded(), "sim", seed=seed)
        start.wait()
        runs.extend(mine(x) for _ in range(5))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(runs) == 20
    for run in runs:
        assert_equal_runs(run, whole)


def test_threads_with_different_layers_do_not_meet(x: np.ndarray) -> None:
    layers = [open_layer(compile_lstm(exchange=e).loaded(), "sim") for e in ("lamport", "barrier")]
    wanted = [layer(x) for layer in layers]
    runs: list[tuple[int, tuple[np.ndarray, State]]] = []
    start = threading.Barrier(4)

    def work(number: int) -> None:
        start.wait()
        for n in (number, 1 - number, number):
            runs.append((n, layers[n](x)))

    threads = [threading.Thread(target=work, args=(number % 2,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(runs) == 12
    for number, run in runs:
        assert_equal_runs(run, wanted[number])


def test_an_unknown_device(path: Path) -> None:
    with pytest.raises(InputError, match="unknown device 'tpu'") as error:
        sprnn_runtime.load(path, "tpu")
    assert error.value.code == "E601"


def test_cuda_without_gpu_code_says_so(path: Path) -> None:
    with pytest.raises(Unavailable) as error:
        sprnn_runtime.load(path, "cuda")
    assert error.value.code == "E608"


def test_cuda_without_a_gpu_says_what_to_do(
    artifact: sprnnc.Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cuda.bindings import driver

    def no_driver(_: int) -> tuple[int]:
        raise RuntimeError("libcuda.so.1 is not there")

    monkeypatch.setattr(driver, "cuInit", no_driver)
    with pytest.raises(Unavailable, match="device='sim'") as error:
        open_layer(replace(artifact.loaded(), cubin=b"code"), "cuda")
    assert error.value.code == "E602"


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No g++ on this machine, and nothing built before."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("SPRNNC_CACHE", str(tmp_path / "cache"))


@pytest.mark.usefixtures("no_compiler")
def test_without_a_compiler_sim_says_so_and_auto_takes_the_reference(
    artifact: sprnnc.Artifact, path: Path, x: np.ndarray
) -> None:
    with pytest.raises(Unavailable, match=r"needs g\+\+") as error:
        sprnn_runtime.load(path, "sim")
    assert error.value.code == "E503"
    with pytest.raises(Unavailable, match=r"no device can run.*g\+\+") as neither:
        sprnn_runtime.load(path, "auto")
    assert neither.value.code == "E607"
    run = sprnnc.execute(artifact, x, device="auto", check=True)
    assert run.device == "reference" and run.error == 0


@pytest.mark.parametrize(("folder", "mib"), [("file/cache", "1024"), ("cache", "0")])
def test_a_cache_that_keeps_nothing_is_not_needed(
    path: Path,
    x: np.ndarray,
    whole: tuple[np.ndarray, State],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    folder: str,
    mib: str,
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("SPRNNC_CACHE", str(tmp_path / folder))
    monkeypatch.setenv("SPRNNC_CACHE_MIB", mib)
    assert_equal_runs(sprnn_runtime.load(path, "sim")(x), whole)
    assert not [p for p in tmp_path.rglob("*.so")]


def test_without_any_folder_to_build_in_sim_says_so(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPRNNC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    with pytest.raises(Unavailable, match="cannot build in") as error:
        sprnn_runtime.load(path, "sim")
    assert error.value.code == "E503" and "TMPDIR" in error.value.help


def test_a_kernel_that_does_not_compile_shows_the_compilers_words(without_sim_code: sprnnc.Artifact) -> None:
    with pytest.raises(SprnnError, match="built although it must not be") as error:
        open_layer(without_sim_code.loaded(), "sim")
    assert error.value.code == "E504"


def test_a_closed_layer_says_so(path: Path, x: np.ndarray) -> None:
    layer = sprnn_runtime.load(path, "sim")
    layer.close()
    layer.close()
    with pytest.raises(InputError, match="this layer is closed") as error:
        layer(x)
    assert error.value.code == "E617"


@pytest.mark.parametrize("budget", [-1, 0, "a", 1.5, True, 1 << 63])
def test_a_budget_that_cannot_be(layer: Layer, x: np.ndarray, budget: object) -> None:
    with pytest.raises(InputError, match="budget_ns"):
        layer(x, budget_ns=budget)  # type: ignore[arg-type]


def test_states_and_paths_of_the_wrong_kind(layer: Layer, x: np.ndarray) -> None:
    with pytest.raises(InputError, match="the state is list"):
        layer(x, [1])  # type: ignore[arg-type]
    with pytest.raises(InputError, match="the state is ndarray"):
        layer(x, np.zeros((BATCH, 40), np.float32))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="the state is int"):
        layer(x, 0)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="unknown states"):
        layer(x, {1: x[0], "q": x[0]})  # type: ignore[dict-item]
    with pytest.raises(InputError, match="the artifact is NoneType"):
        sprnn_runtime.load(None)  # type: ignore[arg-type]


def test_a_ragged_list_is_not_an_array(layer: Layer, x: np.ndarray) -> None:
    with pytest.raises(InputError, match="input is not a rectangular array"):
        layer([[[1.0]], [[1.0, 2.0]]])
    with pytest.raises(InputError, match="state 'h' is not a rectangular array"):
        layer(x, {"h": [[1.0], [1.0, 2.0]]})


def test_lengths_of_one_call_are_not_those_of_the_next(layer: Layer, x: np.ndarray) -> None:
    expected = layer(x)
    short, _ = layer(x, lengths=[1] * BATCH)
    assert not short[1:].any()
    assert_equal_runs(layer(x), expected)
