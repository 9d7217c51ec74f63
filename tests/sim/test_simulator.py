"""The simulator runs right kernels right under every schedule, and says what is wrong with wrong ones."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest
import sim_kernels as k
import sprnn_runtime.sim_build
from sprnn_runtime.errors import InputError, Unavailable
from sprnn_runtime.sim import SimError, Simulator

SEEDS = range(5)
FLAG = np.zeros(1, np.uint32)


@pytest.fixture(scope="module", params=[(), ("SPRNN_SIM_UCONTEXT",)], ids=["own switch", "ucontext"])
def sim(request: pytest.FixtureRequest) -> Simulator:
    return k.build(request.param)


def report(sim: Simulator, kernel: str, block: int = k.THREADS, seed: int = 0) -> str:
    with pytest.raises(SimError) as error:
        sim.launch(kernel, grid=2, block=block, shared_bytes=0, args=[FLAG.copy()], seed=seed)
    assert error.value.code == "E610" and f"kernel '{kernel}' with seed {seed}" in error.value.message
    return error.value.message


@pytest.mark.parametrize("kernel", k.STORAGE)
def test_a_lamport_ring_agrees_with_numpy_under_every_schedule(sim: Simulator, kernel: str) -> None:
    expected = k.ring_expected(kernel, k.start())
    for seed in SEEDS:
        values, status = k.ring(sim, kernel, seed=seed)
        np.testing.assert_array_equal(values, expected)
        assert not status.any()


def test_a_counter_barrier_agrees_with_numpy_under_every_schedule(sim: Simulator) -> None:
    for seed in SEEDS:
        np.testing.assert_array_equal(k.all_to_all(sim, seed=seed), k.all_to_all_expected())


def test_an_arrival_without_release_is_noticed(sim: Simulator) -> None:
    runs = [k.all_to_all(sim, relaxed=True, seed=seed) for seed in range(1, 9)]
    assert any(not np.array_equal(run, k.all_to_all_expected()) for run in runs)


def test_it_is_the_late_stores_that_notice_it(sim: Simulator) -> None:
    for seed in range(1, 9):
        run = k.all_to_all(sim, relaxed=True, seed=seed, store_delay=0)
        np.testing.assert_array_equal(run, k.all_to_all_expected())


def test_a_seed_repeats_its_schedule_and_another_has_another(sim: Simulator) -> None:
    def stats(seed: int) -> object:
        args = [np.ones((3, 64), np.int32), np.zeros(3, np.int32)]
        return sim.launch("tree_sum", grid=3, block=64, shared_bytes=256, args=args, seed=seed)

    assert stats(5) == stats(5)
    assert len({str(stats(seed)) for seed in range(10)}) > 1


@pytest.mark.parametrize("block", [32, 64, 256, 1024])
def test_shared_memory_and_barriers(sim: Simulator, block: int) -> None:
    values, sums = np.arange(3 * block, dtype=np.int32).reshape(3, block), np.zeros(3, np.int32)
    sim.launch("tree_sum", grid=3, block=block, shared_bytes=4 * block, args=[values, sums], seed=3)
    np.testing.assert_array_equal(sums, values.sum(axis=1))


def test_shuffles_read_the_lanes_that_cuda_reads(sim: Simulator) -> None:
    out, wide = np.zeros((3, 32), np.int32), np.zeros(32)
    sim.launch("shuffles", grid=1, block=32, shared_bytes=0, args=[out, wide], seed=2)
    lanes = np.arange(32)
    np.testing.assert_array_equal(out[0], 100 + (lanes ^ 5))
    np.testing.assert_array_equal(out[1], 100 + np.where(lanes + 7 < 32, lanes + 7, lanes))
    np.testing.assert_array_equal(out[2], 103)
    np.testing.assert_array_equal(wide, 1.0 / (100 + (lanes ^ 16)))


@pytest.mark.parametrize("kernel", k.STORAGE)
def test_a_nan_that_looks_like_an_empty_slot_flows_on(sim: Simulator, kernel: str) -> None:
    values = k.start()
    values.view(np.uint32)[1, :] = 0xFFFFFFFF  # its 16-bit halves are all ones, too
    got, status = k.ring(sim, kernel, values, seed=1)
    assert np.isnan(got).all() and not status.any()  # after 9 steps it has been around the ring
    values = k.start()
    values.view(np.uint32)[1, 5] = 0xFFFFFFFF
    got, _ = k.ring(sim, kernel, values, seed=1)
    np.testing.assert_array_equal(np.isnan(got).all(axis=0), np.arange(k.THREADS) == 5)
    np.testing.assert_array_equal(got, k.ring_expected(kernel, values))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_deadlock_names_the_line_where_threads_wait(sim: Simulator, seed: int) -> None:
    text = report(sim, "stuck", seed=seed)
    assert "deadlock: no thread can make progress" in text
    assert f"at {k.line_of('stuck')}" in text
    assert f"{2 * k.THREADS} threads wait in all" in text


def test_a_missing_publication_is_a_deadlock_without_a_budget(sim: Simulator) -> None:
    with pytest.raises(SimError, match=r"deadlock(.|\n)*at kernel.cu:\d+"):
        k.ring(sim, silent=2, seed=1)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_missing_publication_ends_every_block_when_a_budget_is_spent(sim: Simulator, seed: int) -> None:
    _, status = k.ring(sim, silent=2, budget_ns=np.uint64(20_000), deadlock_rounds=0, seed=seed)
    code, block, step, phase = (int(v) for v in status[:4])
    assert (code, phase) == (1, 1)
    assert step == 2 + (block - 3) % k.BLOCKS  # block 3 waits for block 2, block 0 for block 3 a step later


@pytest.mark.parametrize("seed", SEEDS)
def test_threads_at_different_barriers_are_reported(sim: Simulator, seed: int) -> None:
    text = report(sim, "two_barriers", seed=seed)
    assert "divergent barrier" in text
    assert k.line_of("first") in text and k.line_of("second") in text


def test_a_thread_that_leaves_while_others_wait_is_reported(sim: Simulator) -> None:
    texts = []
    for seed in range(8):
        try:
            sim.launch("one_leaves", grid=1, block=64, shared_bytes=0, args=[FLAG.copy()], seed=seed)
        except SimError as error:
            texts.append(error.message)
    assert texts
    assert all(
        f"thread 7 at its end, while others of its block wait at {k.line_of('stays')}" in t for t in texts
    )


@pytest.mark.parametrize("kernel", ["one_leaves_the_polls", "one_leaves_the_copies"])
@pytest.mark.parametrize("seed", SEEDS)
def test_waiting_for_a_thread_that_has_left_is_a_deadlock(sim: Simulator, kernel: str, seed: int) -> None:
    with pytest.raises(SimError, match="deadlock") as error:
        sim.launch(kernel, grid=2, block=64, shared_bytes=64, args=[FLAG.copy()], seed=seed)
    assert "2 threads of their blocks have left the kernel" in error.value.message


@pytest.mark.parametrize("kernel", ["stores_for_ever", "runs_for_ever", "meets_for_ever"])
def test_a_launch_ends_when_its_time_is_over(sim: Simulator, kernel: str) -> None:
    began = time.monotonic()
    with pytest.raises(SimError, match=r"longer than its limit.*block \d thread \d+"):
        sim.launch(kernel, grid=2, block=32, shared_bytes=0, args=[FLAG.copy()], limit_seconds=0.2)
    assert time.monotonic() - began < 10
    np.testing.assert_array_equal(k.all_to_all(sim), k.all_to_all_expected())


def test_the_time_limit_comes_from_the_environment(sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPRNNC_SIM_SECONDS", "0.2")
    with pytest.raises(SimError, match="longer than its limit"):
        sim.launch("meets_for_ever", grid=1, block=32, shared_bytes=0, args=[FLAG.copy()])
    for bad in ("soon", "-1", "nan"):
        monkeypatch.setenv("SPRNNC_SIM_SECONDS", bad)
        with pytest.raises(InputError, match="E618"):
            sim.launch("meets_for_ever", grid=1, block=32, shared_bytes=0, args=[FLAG.copy()])


def test_a_thread_gets_the_stack_that_its_kernel_takes(sim: Simulator) -> None:
    flag = FLAG.copy()
    sim.launch("keeps_much", grid=2, block=64, shared_bytes=0, args=[flag])
    assert flag[0] == sum(range(100000)) % 2**32


def test_more_stacks_than_fit_are_refused(sim: Simulator) -> None:
    with pytest.raises(SimError, match=r"keeps \d+ bytes in each of its 65536 threads") as error:
        sim.launch("keeps_much", grid=64, block=1024, shared_bytes=0, args=[FLAG.copy()])
    assert "fewer units" in error.value.help


@pytest.mark.parametrize("damage", ["empty", "cut", "changed", "unsealed"])
def test_a_damaged_build_is_built_again(tmp_path: Path, damage: str) -> None:
    def build() -> Simulator:
        return Simulator('extern "C" __global__ void one(int* x) { *x = 1; }', ["one"], cache_dir=tmp_path)

    build()
    (library,) = tmp_path.iterdir()
    data = library.read_bytes()
    half = len(data) // 2
    changed = data[:half] + bytes([data[half] ^ 1]) + data[half + 1 :]
    library.unlink()  # it is loaded: its own bytes must stay
    library.write_bytes(
        {"empty": b"", "cut": data[:half], "changed": changed, "unsealed": data[:-40]}[damage]
    )
    x = np.zeros(1, np.int32)
    build().launch("one", grid=1, block=1, shared_bytes=0, args=[x])
    assert x[0] == 1 and library.read_bytes() == data


COMPILERS = {
    "fails": "#!/bin/sh\nexit 1\n",
    "is none": "#!/nonexistent\n",
    "is too old": '#!/bin/sh\n[ "$1" = --version ] && exit 0\necho "unrecognized -std=c++17" >&2\nexit 1\n',
}


@pytest.mark.parametrize("compiler", COMPILERS)
def test_a_compiler_that_does_not_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compiler: str
) -> None:
    (tmp_path / "g++").write_text(COMPILERS[compiler])
    (tmp_path / "g++").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(Unavailable, match=r"g\+\+ does not work") as error:
        Simulator(k.source(), k.KERNELS, cache_dir=tmp_path / "cache")
    assert error.value.code == "E503"


def test_a_full_disk_is_not_the_kernels_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = "final link failed: No space left on device"
    (tmp_path / "g++").write_text(f'#!/bin/sh\n[ "$1" = --version ] && exit 0\necho "{said}" >&2\nexit 1\n')
    (tmp_path / "g++").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(Unavailable, match=r"cannot build in .*No space left") as error:
        Simulator(k.source(), k.KERNELS, cache_dir=tmp_path / "cache")
    assert error.value.code == "E503" and "TMPDIR" in error.value.help
    assert not list((tmp_path / "cache").iterdir())


def test_a_simulator_works_on_after_a_failure(sim: Simulator) -> None:
    report(sim, "stuck")
    np.testing.assert_array_equal(k.all_to_all(sim), k.all_to_all_expected())


def test_launches_of_several_threads_do_not_meet(sim: Simulator) -> None:
    runs: list[np.ndarray] = []
    threads = [threading.Thread(target=lambda s=s: runs.append(k.all_to_all(sim, seed=s))) for s in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(runs) == 4
    for run in runs:
        np.testing.assert_array_equal(run, k.all_to_all_expected())


def test_arguments_that_a_kernel_does_not_take(sim: Simulator) -> None:
    with pytest.raises(SimError, match="does not take 2 arguments"):
        sim.launch("stuck", grid=1, block=32, shared_bytes=0, args=[FLAG, FLAG])
    with pytest.raises(ValueError, match="C-contiguous"):
        sim.launch("stuck", grid=1, block=32, shared_bytes=0, args=[np.zeros((4, 4))[:, 1]])


def test_a_build_is_reused(sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("built again")

    del sim  # it was built
    monkeypatch.setattr(sprnn_runtime.sim_build, "_compile", refuse)
    np.testing.assert_array_equal(k.all_to_all(k.build()), k.all_to_all_expected())
