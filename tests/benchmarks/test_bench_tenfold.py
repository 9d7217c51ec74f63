"""Ten times the parameters: the search for the largest persistent model, and the rows beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sprnn_runtime
from played import PlayedLayer

from benchmarks import persistent, tenfold
from benchmarks.cells import CellKind
from benchmarks.floors import Floors
from benchmarks.peers.catalogue import CUDNN_ALGORITHMS
from benchmarks.peers.inputs import PeerInputs
from benchmarks.peers.outcome import Measured, Refused, Timing
from benchmarks.persistent import ContextLost, Limit, largest, load_limits, save_limits, search
from benchmarks.prepare import load_prepared, prepare, problem_path
from benchmarks.problem import load_problem
from benchmarks.report_claims import tenfold_text
from benchmarks.results_file import read_rows
from benchmarks.rows import Setting
from benchmarks.tenfold_cases import dense_case, pruned_cases, pruned_size

SETTING = Setting("NVIDIA H200", "abc", {"nvidia-cudnn-cu13": "9.19"})


class PlayedCudnn:
    """Takes sizes up to a limit, more of them padded; its outputs are those of ``y`` where there is one."""

    def __init__(self, y: np.ndarray | None = None) -> None:
        self.y, self.well, self.asked = y, True, 0

    def device_is_well(self) -> bool:
        return self.well

    def cudnn(self, inputs: PeerInputs, timing: Timing, algorithm: int) -> Measured:
        self.asked += 1
        name = next(n for n, code in CUDNN_ALGORITHMS.items() if code == algorithm)
        limit = {"persist_static": 2304, "persist_static_small_h": 384}.get(name, 10**6)
        if inputs.hidden > limit:
            raise Refused("cudnnGetRNNTempSpaceSizes:\nNOT_SUPPORTED")
        us = {"standard": 8.0, "persist_dynamic": 5 + inputs.hidden / 256}.get(name, 24 / inputs.batch)
        y = np.zeros_like(inputs.x) if self.y is None else self.y[:, np.arange(inputs.batch) % 4]
        return Measured(np.asarray(y, np.float32), (us, us))


def refuse_above(*taken: range) -> Any:
    return lambda size: "" if any(size in sizes for sizes in taken) else f"no {size}"


def test_the_largest_size_is_found_by_bisection():
    sizes = range(64, 4097, 64)
    assert largest(refuse_above(range(2305)), sizes) == (2304, "no 2368")
    assert largest(refuse_above(range(64)), sizes) == (0, "no 64")
    assert largest(refuse_above(range(5000)), sizes) == (4096, "the largest size that was tried")


def test_a_small_gap_does_not_end_the_search():
    taken = refuse_above(range(2049), range(2176, 2305))
    assert largest(taken, range(64, 4097, 64))[0] == 2304


def test_every_limit_is_searched_in_few_calls(capsys):
    library: Any = PlayedCudnn()
    limits = search(library, [CellKind.RNN], [4, 8])
    found = {(limit.algorithm, limit.batch): limit for limit in limits}
    assert found["persist_static", 4].hidden == 2304
    assert found["persist_static", 4].refusal == "cudnnGetRNNTempSpaceSizes: NOT_SUPPORTED"
    assert found["persist_static_small_h", 8].hidden == 384
    assert found["persist_dynamic", 4].hidden == 768
    assert found["persist_dynamic", 4].refusal == "slower than standard: 9.0 us against 8.0 us"
    assert library.asked < 100
    assert "RNN B=4 persist_static: up to H=2304" in capsys.readouterr().out


def test_a_lost_context_ends_the_search():
    library: Any = PlayedCudnn()
    library.well = False
    with pytest.raises(ContextLost, match="RNN H="):
        search(library, [CellKind.RNN], [4])


def test_limits_are_kept_for_one_gpu_and_library(tmp_path, monkeypatch):
    limits = [Limit("RNN", "persist_static", 8, 2304, "no")]
    save_limits(tmp_path / "persistent.json", "NVIDIA H200, 9.19", limits)
    monkeypatch.setattr(tenfold, "search", lambda *_: [])
    library: Any = PlayedCudnn()
    assert tenfold.find_limits(tmp_path, library, SETTING) == limits
    assert tenfold.find_limits(tmp_path, library, Setting("NVIDIA H100", "abc", {})) == []
    assert load_limits(tmp_path / "none.json", "") is None


@pytest.mark.parametrize(("dense", "pruned"), [(2304, 7296), (1536, 4864), (128, 512)])
def test_the_pruned_model_has_ten_times_the_parameters(dense, pruned):
    assert pruned_size(dense) == pruned
    assert pruned * pruned >= 10 * dense * dense > (pruned - 128) ** 2


def test_the_dense_model_is_the_largest_of_any_algorithm():
    limits = [Limit("RNN", "a", 4, 2304, ""), Limit("RNN", "b", 8, 2368, ""), Limit("LSTM", "a", 4, 0, "no")]
    dense = dense_case(CellKind.RNN, limits)
    assert dense is not None
    assert (dense.hidden, dense.batch, dense.nonzeros) == (2368, 4, 2368**2)
    assert dense_case(CellKind.LSTM, limits) is None


@pytest.fixture
def options(tmp_path: Path) -> Any:
    return tenfold.parse_arguments(
        ["--output", str(tmp_path / "out.json"), "--artifacts", str(tmp_path), "--repeats", "3",
         "--densities", "0.05", "0.03", "--commit", "abc", "--resume"]
    )  # fmt: skip


def test_rows_stand_beside_the_fastest_persistent_algorithm(tmp_path, options, monkeypatch, capsys):
    limits = [Limit("RNN", "persist_static", batch, 32, "no") for batch in (4, 8)]
    dense = dense_case(CellKind.RNN, limits)
    assert dense is not None
    pruned = pruned_cases(dense, options.densities)
    prepare(pruned, tmp_path, problems_of=[dense], workers=1)
    assert all(load_prepared(tmp_path, case) for case in pruned)
    _, y = load_problem(dense, problem_path(tmp_path, dense))
    expected = {p.name: load_problem(c, p)[1] for c in pruned for p in [problem_path(tmp_path, c)]}
    outputs = iter(expected.values())
    monkeypatch.setattr(sprnn_runtime, "load", lambda path, device: PlayedLayer(next(outputs)))
    library: Any = PlayedCudnn(y)
    floors = Floors([(0, 0.5), (10**6, 0.5)])
    tenfold.Tenfold(options, library, SETTING, floors, limits).run([dense])

    rows = read_rows(options.output)
    assert [row["name"] for row in rows] == [f"{case.name}-tenfold" for case in pruned]
    row = rows[0]
    assert (row["groups"], row["dense_H"], row["H"], row["commit"]) == (["tenfold"], 32, 128, "abc")
    assert row["nonzeros"] == round(0.05 * 128 * 128)
    assert row["peers"]["cudnn persist_static fp16 H=32"] == 6.0
    assert row["peers"]["cudnn persist_static fp16 pad8 H=32"] == 3.0
    assert (row["ratio"], row["required"], row["floor_us"]) == (3.0, 2.0, 0.5)
    assert row["best_peer"] == "cudnn persist_static fp16 pad8 H=32"
    assert "rnn-128-b4-d0.05" in capsys.readouterr().out

    asked = library.asked
    tenfold.Tenfold(options, library, SETTING, floors, limits).run([dense])
    assert library.asked == asked  # all was there already

    text = tenfold_text(rows)
    assert "| RNN tanh | 4 | 32 | 3.00 | cudnn persist_static fp16 pad8 | 128 | 0.05 | 0.0 M |" in text
    assert "| RNN tanh | 8 | persist_static | 32 | no |" in text


def test_the_main_program_searches_prepares_and_times(tmp_path, monkeypatch):
    library = PlayedCudnn()
    asked: list[Any] = []
    monkeypatch.setattr(tenfold, "describe_machine", lambda commit: (SETTING.gpu, commit, {}))
    monkeypatch.setattr(tenfold, "load_library", lambda path, folder: library)
    monkeypatch.setattr(tenfold, "prepare", lambda cases, folder, **more: asked.append((cases, more)))
    tenfold.main(["--output", str(tmp_path / "o.json"), "--artifacts", str(tmp_path), "--prepare-only"])
    ((pruned, more),) = asked
    assert {c.hidden for c in pruned} == {7296}
    assert [c.hidden for c in more["problems_of"]] == [2304, 2304]
    assert (tmp_path / "persistent.json").exists()
    assert persistent.load_limits(tmp_path / "persistent.json", "NVIDIA H200, unknown")
