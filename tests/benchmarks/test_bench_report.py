"""The report: every figure comes from the rows, and the same rows give the same bytes."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("matplotlib")

from benchmarks.cases import Case, Group, Rung, all_cases
from benchmarks.peers.outcome import Precision
from benchmarks.report import gpu_slug, report_text, write_report
from benchmarks.report_tables import error_limit, flashrnn_table
from benchmarks.rows import PeerResult, Setting, make_row

SETTING = Setting("NVIDIA H200", "abc1234", {"torch": "2.11"})


def row(case: Case, us: float | None = 1.0, best: float = 3.0, **changes: Any) -> dict[str, Any]:
    peers = [
        PeerResult("cudnn standard fp16", (16.0,), 4e-4),
        PeerResult("cudnn persist_static fp16 pad8", (best, best * 1.1), 2e-4),
        PeerResult("cudnn persist_dynamic fp16", refusal="NOT_SUPPORTED"),
        PeerResult("cudnn persist_static_small_h fp16", refusal="NOT_SUPPORTED"),
    ]
    times = [] if us is None else [us, us * 0.9, us * 1.2]
    chosen = peers if case.has_peers else []
    return make_row(case, SETTING, {"blocks": 128}, times, 2.5e-4, chosen, **changes)


@pytest.fixture(scope="module")
def made_up() -> list[dict[str, Any]]:
    """A row for every case; lower rungs are slower."""
    slower = {rung: 1.0 + 0.5 * (len(Rung) - i) for i, rung in enumerate(Rung, start=1)}
    return [row(case, slower[case.rung]) for case in all_cases()]


def line_of(text: str, *starts: str) -> str:
    return next(line for line in text.splitlines() if line.startswith("| " + " | ".join(starts) + " |"))


def test_ratios_are_the_best_peer_over_ours(made_up):
    text = report_text(made_up, "h200")
    reached = line_of(text, "RNN tanh", "2304", "4", "0.3", "fp16")
    assert "| 1.00 | 0.90 to 1.20 | – | cudnn persist_static fp16 pad8 | 3.15 |" in reached
    assert "| **3.15** | 2.8 | yes |" in reached
    assert "| 2.5e-04 | 3.0e-04 | yes |" in reached
    missed = line_of(text, "RNN tanh", "8192", "4", "0.1", "fp16")
    assert "| **3.15** | 10 | **no** |" in missed


def test_what_is_missing_is_said():
    cases = all_cases()
    rows = [row(cases[0], None, refusal="CompileError: E411"), row(cases[1])]
    text = report_text(rows, "h200")
    assert "| no: CompileError: E411 |" in line_of(text, "RNN tanh", "2304", "4", "0.3", "fp16")
    assert "not measured" in line_of(text, "GRU", "2048", "4", "0.1", "fp16")


def test_refused_peers_stand_there_by_reason(made_up):
    text = report_text(made_up, "h200")
    names = "cudnn persist_dynamic fp16, cudnn persist_static_small_h fp16"
    assert f"- refused, NOT_SUPPORTED: {names}\n" in text


def test_the_ablation_shows_every_rung(made_up):
    text = report_text(made_up, "h200")
    section = text.split("## The ablation")[1]
    assert "| naive, µs | wide, µs | bank-aware, µs | lamport, µs | tuned, µs |" in section
    assert "| RNN tanh | 5760 | 2 | 0.01 | fp16 | 3.00 | 2.50 | 2.00 | 1.50 | 1.00 |" in section


def test_flashrnn_stands_beside_ours():
    measured, absent = [c for c in all_cases() if Group.FLASHRNN in c.groups][:2]
    rows = [row(measured), row(absent)]
    rows[0]["peers"]["flashrnn fused bf16"] = 2.84
    rows[1]["peers"]["flashrnn fused bf16"] = "refused: no torch"
    text = flashrnn_table(rows)
    assert "| 1.00 | flashrnn fused bf16 | 2.84 | **2.84** | cudnn persist_static fp16 pad8 | 3.15 |" in text
    assert "| flashrnn fused bf16 | refused: no torch | – |" in text


def test_a_trained_network_stands_beside_its_floor(made_up):
    line = {
        "H": 1024, "B": 4, "density": 0.05, "dtype": "fp16", "exchange": "lamport", "us_per_step": 1.1,
        "us_low": 1.0, "us_high": 1.2, "step_error": 4e-4, "floor_us": 1.0, "over_floor": 1.1,
    }  # fmt: skip
    slow = line | {"over_floor": 1.3, "us_per_step": 1.3}
    unknown = line | {"B": 1, "over_floor": None, "floor_us": None}
    network = {"commit": "abc", "gpu": "NVIDIA H200", "rows": [line, slow, unknown]}
    text = report_text(made_up, "h200", network)
    assert "| 1.10 | 1.00 to 1.20 | 1.00 | **1.10** | below 1.2 | yes | 4.0e-04 |" in text
    assert "| **1.30** | below 1.2 | **no** |" in text
    assert "| – | – | below 1.2 | no floor measured |" in text
    with pytest.raises(SystemExit, match="several values of 'gpu'"):
        report_text(made_up, "h200", network | {"gpu": "NVIDIA H100"})
    assert "## A trained network\n\nNot measured." in report_text(made_up, "h200")


def test_our_error_may_be_half_again_the_smallest_of_cudnn():
    case = all_cases()[0]
    assert error_limit(row(case)) == pytest.approx(3e-4)
    fp32 = next(c for c in all_cases() if c.dtype == "fp32")
    assert error_limit(row(fp32)) == 1e-5
    alone = make_row(case, SETTING, {}, [1.0], 1e-4, [])
    assert error_limit(alone) is None


def test_the_same_rows_give_the_same_bytes(made_up, tmp_path):
    first = write_report(made_up, tmp_path / "a")
    again = write_report(made_up, tmp_path / "b")
    assert [p.name for p in first] == [
        "h200.md",
        "h200_density.svg",
        "h200_size.svg",
        "h200_batch.svg",
        "h200_ablation.svg",
    ]
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in again]
    text = first[0].read_text()
    assert all(f"({p.name})" in text for p in first[1:])
    assert text.startswith("# Measured on one NVIDIA H200\n")


def test_plots_of_too_few_rows_are_drawn_all_the_same(tmp_path):
    case = next(c for c in all_cases() if Group.LAYER in c.groups)
    paths = write_report([row(case, None, refusal="no")], tmp_path)
    assert all(p.stat().st_size > 0 for p in paths)


def test_the_file_is_named_after_the_gpu(tmp_path):
    assert gpu_slug("NVIDIA H200") == "h200"
    assert gpu_slug("NVIDIA H100 80GB HBM3") == "h100"
    assert gpu_slug("Some GPU (rev. 2)") == "some-gpu-rev-2"


def test_two_gpus_are_not_one_report(made_up):
    with pytest.raises(SystemExit, match="several values of 'gpu'"):
        report_text([*made_up[:1], made_up[1] | {"gpu": "NVIDIA H100"}], "h200")


def test_precisions_that_may_meet():
    assert Precision.FP32.may_compete_with("fp16")
    assert Precision.BF16.may_compete_with("fp16")
    assert not Precision.FP16.may_compete_with("fp32")
