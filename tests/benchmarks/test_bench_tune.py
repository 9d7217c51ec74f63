"""The tuner: every setting is a row, and neither a refusal nor a failure loses the others."""

from __future__ import annotations

import sprnn_runtime
from played import PlayedLayer

from benchmarks.cells import CellKind
from benchmarks.problem import draw_problem, reference
from benchmarks.tune import case_of, show, tune

ASKED = {"cell": "lstm", "H": 32, "B": 2, "density": 0.2, "dtype": "fp16", "accumulate": "fp16"}


def test_an_entry_is_a_case():
    case = case_of(ASKED)
    assert (case.kind, case.hidden, case.batch, case.density) == (CellKind.LSTM, 32, 2, 0.2)


def test_every_setting_is_a_row(tmp_path, monkeypatch, capsys):
    layer = PlayedLayer(reference(draw_problem(case_of(ASKED))))
    monkeypatch.setattr(sprnn_runtime, "load", lambda path, device: layer)
    cases = [ASKED | {"settings": [{"exchange": "barrier"}, {"exchange": "nonsense"}]}]
    rows = tune(cases, tmp_path, jobs=1, repeats=3)
    assert [row["setting"]["exchange"] for row in rows] == ["barrier", "nonsense"]
    assert (rows[0]["us"], rows[0]["low"]) == (1.0, 1.0)
    assert 0 < rows[0]["error"] < 2e-3
    assert "nonsense" in rows[1]["refused"]
    show(cases, rows)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "lstm 32 B 2 0.2 fp16"
    assert printed[1].startswith("    1.000   1.000 err 1.0e-03 L")
    assert "nonsense" in printed[2]


def test_a_kernel_that_fails_is_a_row_too(tmp_path, monkeypatch):
    layer = PlayedLayer(-reference(draw_problem(case_of(ASKED))))
    monkeypatch.setattr(sprnn_runtime, "load", lambda path, device: layer)
    (row,) = tune([ASKED | {"settings": [{}]}], tmp_path, jobs=1, repeats=3)
    assert row["failed"] == "wrong outputs: relative error 2"
    assert row["registers"] > 0
