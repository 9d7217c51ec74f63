"""The harness, with a GPU, a library and a layer that are played: rows, refusals, stops and restarts."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sprnn_runtime
from played import PlayedLayer, PlayedLibrary, answer, crashing, refusing
from sprnn_runtime.errors import DeviceError

from benchmarks import bench, ours
from benchmarks.bench import Bench, DeviceLost, measure_peer, parse_arguments, summary
from benchmarks.cases import Case, Rung
from benchmarks.cells import CellKind, Mode
from benchmarks.floors import Floors
from benchmarks.peers.inputs import InputStore, PeerInputs
from benchmarks.peers.outcome import Measured, Peer, Precision, Refused, Timing
from benchmarks.prepare import load_prepared, prepare_problem
from benchmarks.problem import draw_problem, load_problem, reference
from benchmarks.rows import Setting

CASE = Case(CellKind.RNN, 16, 2, 0.2, steps=4, required=2.0)
SETTING = Setting("NVIDIA H200", "abc", {"torch": "2.11"})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A prepared case; its artifact is played."""
    prepare_problem(tmp_path, CASE)
    stored = {"plan": {"blocks": 128}, "refusal": "", "made_from": bench_made_from(CASE)}
    (tmp_path / f"{CASE.name}.json").write_text(json.dumps(stored))
    return tmp_path


def bench_made_from(case: Case) -> str:
    from benchmarks.prepare import made_from

    return made_from(case)


@pytest.fixture
def y(folder: Path) -> np.ndarray:
    return load_problem(CASE, folder / f"{CASE.problem_name}.npz")[1]


@pytest.fixture
def layer(y: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> PlayedLayer:
    played = PlayedLayer(y)
    monkeypatch.setattr(sprnn_runtime, "load", lambda path, device: played)
    return played


def options(folder: Path, *more: str) -> argparse.Namespace:
    return parse_arguments(["--output", str(folder / "out.json"), "--repeats", "3", *more])


def start(folder: Path, monkeypatch: pytest.MonkeyPatch, peers: list[Peer], *more: str) -> Bench:
    monkeypatch.setattr(bench, "peers_of", lambda case, library, **_: peers)
    library: Any = PlayedLibrary()
    return Bench(options(folder, *more), folder, library, SETTING, Floors([(0, 0.5), (1024, 0.5)]))


def rows(folder: Path) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in json.loads((folder / "out.json").read_text())}


def peer(variant: str, run: Any, precision: Precision = Precision.FP16, batch: int = 2) -> Peer:
    return Peer("cudnn", variant, precision, batch, batch != 2, run)


def test_a_row_holds_ours_and_every_peer(folder, y, layer, monkeypatch):
    peers = [
        peer("standard", answer(y, 4.0)),
        peer("persist_static", answer(y, 3.0), batch=8),
        peer("persist_dynamic", refusing),
        peer("small_h", crashing),
        peer("wrong", answer(-y, 0.1)),
    ]
    start(folder, monkeypatch, peers).run([CASE])
    row = rows(folder)[CASE.name]
    assert row["us_per_step"] == 1.0
    assert row["peers"] == {
        "cudnn standard fp16": 4.0,
        "cudnn persist_static fp16 pad8": 3.0,
        "cudnn persist_dynamic fp16": "refused: cudnnBuildRNNDynamic: NOT_SUPPORTED",
        "cudnn small_h fp16": "refused: RuntimeError: out of memory",
        "cudnn wrong fp16": "refused: its outputs differ: relative error 2",
    }
    assert (row["best_peer"], row["ratio"]) == ("cudnn persist_static fp16 pad8", 3.0)
    assert row["peer_ranges"]["cudnn standard fp16"] == [2.0, 6.0]
    assert row["rel_error"] == pytest.approx(1e-3, rel=0.01)
    assert row["peer_errors"]["cudnn standard fp16"] < 1e-6
    assert (row["floor_us"], row["required"], row["plan"]) == (0.5, 2.0, {"blocks": 128})
    assert (row["gpu"], row["commit"], row["complete"]) == ("NVIDIA H200", "abc", True)
    assert layer.closed


def test_an_fp32_row_takes_a_tf32_peer_only_if_it_is_as_exact_as_fp32(y, folder):
    problem = draw_problem(Case(CellKind.RNN, 16, 2, 0.2, steps=4, dtype="fp32"))
    expected = reference(problem)
    store, timing = InputStore(problem), Timing()
    exact = measure_peer(peer("a", answer(expected, 1.0), Precision.TF32), store, timing, problem, expected)
    rounded = measure_peer(
        peer("b", answer(expected * 1.0002, 1.0), Precision.TF32), store, timing, problem, expected
    )
    assert exact.times_us
    assert not rounded.times_us
    assert "not fp32 arithmetic" in rounded.refusal


def test_ours_alone_is_written_before_the_peers(folder, y, layer, monkeypatch):
    def look(inputs: PeerInputs, timing: Timing) -> Measured:
        row = rows(folder)[CASE.name]
        assert (row["us_per_step"], row["peers"], row["complete"]) == (1.0, {}, False)
        raise Refused("seen")

    start(folder, monkeypatch, [peer("standard", look)]).run([CASE])
    assert rows(folder)[CASE.name]["peers"] == {"cudnn standard fp16": "refused: seen"}


def test_wrong_outputs_of_ours_are_not_timed(folder, y, layer, monkeypatch):
    layer.y = -y
    start(folder, monkeypatch, [peer("standard", answer(y, 4.0))]).run([CASE])
    row = rows(folder)[CASE.name]
    assert (row["us_per_step"], row["ratio"]) == (None, None)
    assert row["refusal"] == "wrong outputs: relative error 2"
    assert row["peers"] == {"cudnn standard fp16": 4.0}
    assert "wrong outputs" in summary(row)


def test_a_failing_kernel_is_a_row_too(folder, y, layer, monkeypatch):
    def fail(x: np.ndarray, repeats: int) -> list[float]:
        raise DeviceError("E614", "launch failed")

    monkeypatch.setattr(layer, "time_us", fail)
    start(folder, monkeypatch, []).run([CASE])
    assert "E614" in rows(folder)[CASE.name]["refusal"]
    assert layer.closed


def test_what_the_compiler_refused_is_a_row_too(folder, y, monkeypatch):
    path = folder / f"{CASE.name}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"refusal": "CompileError: E411"}))
    start(folder, monkeypatch, [peer("standard", answer(y, 4.0))]).run([CASE])
    row = rows(folder)[CASE.name]
    assert (row["refusal"], row["best_peer"]) == ("CompileError: E411", "cudnn standard fp16")


def test_a_broken_context_ends_the_run_with_what_it_has(folder, y, layer, monkeypatch):
    run = start(folder, monkeypatch, [peer("standard", refusing)])
    run._library.well = False
    with pytest.raises(DeviceLost, match="cudnn standard fp16 broke"):
        run.run([CASE])
    row = rows(folder)[CASE.name]
    assert (row["us_per_step"], row["complete"]) == (1.0, False)


def test_a_peer_can_be_left_out(folder, y, layer, monkeypatch):
    peers = [peer("standard", crashing), peer("persist_static", answer(y, 3.0))]
    start(folder, monkeypatch, peers, "--skip-peer", "standard").run([CASE])
    row = rows(folder)[CASE.name]
    assert row["peers"]["cudnn standard fp16"] == "refused: left out of this run"
    assert row["ratio"] == 3.0


def test_resume_skips_what_is_complete_and_the_time_limit_ends_cleanly(folder, y, layer, monkeypatch, capsys):
    start(folder, monkeypatch, [peer("standard", answer(y, 4.0))]).run([CASE])
    start(folder, monkeypatch, [peer("standard", crashing)], "--resume").run([CASE])
    assert rows(folder)[CASE.name]["ratio"] == 4.0
    start(folder, monkeypatch, [], "--time-limit", "-1").run([CASE])
    assert "time is up: 1 cases are left" in capsys.readouterr().out
    assert rows(folder)[CASE.name]["ratio"] == 4.0


def test_resume_measures_again_what_lacks_a_peer(folder, y, layer, monkeypatch):
    start(folder, monkeypatch, []).run([CASE])
    start(folder, monkeypatch, [peer("standard", answer(y, 4.0))], "--resume").run([CASE])
    assert rows(folder)[CASE.name]["ratio"] == 4.0
    start(folder, monkeypatch, [], "--resume").run([CASE])
    assert rows(folder)[CASE.name]["ratio"] == 4.0


def test_lower_rungs_meet_no_peers(folder, monkeypatch):
    run = start(folder, monkeypatch, [peer("standard", crashing)])
    assert run._peers(Case(CellKind.RNN, 16, 2, 0.2, rung=Rung.NAIVE)) == []


def test_an_artifact_of_other_sources_is_prepared_again(folder):
    assert load_prepared(folder, CASE) is not None
    path = folder / f"{CASE.name}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"made_from": "another"}))
    assert load_prepared(folder, CASE) is None


def test_limits_of_what_counts_as_wrong_know_every_dtype():
    assert ours.WRONG.keys() == {"fp32", "fp16", "bf16"}


def test_mode_layer_is_measured_with_torch(monkeypatch):
    from benchmarks.peers.catalogue import peers_of

    library: Any = PlayedLibrary()
    library.cublas_graph = library.cusparse_graph = library.cudnn = refusing
    names = [p.name for p in peers_of(Case(CellKind.GRU, 16, 4, 0.2, mode=Mode.LAYER), library)]
    assert "torch nn fp16 pad8" in names
    assert len(names) == len(set(names)) == 24 + 6 + 6 + 6
    strongest = peers_of(CASE, library, strongest_only=True, flashrnn_seconds=1)
    assert [p.name for p in strongest if p.system == "flashrnn"] == ["flashrnn fused bf16 pad8"]
    fp32 = peers_of(Case(CellKind.RNN, 16, 4, 0.2, dtype="fp32"), library, flashrnn_seconds=1)
    assert {p.precision for p in fp32} == {Precision.FP32, Precision.TF32}
