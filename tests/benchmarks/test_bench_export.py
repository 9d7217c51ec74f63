"""The check of exports on a GPU: what it builds, what it compares, and when it says that all is well."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import sprnnc
from benchmarks import export_builds, export_check
from benchmarks.export_cases import EXAMPLES, ExportCase, chosen, export_cases
from benchmarks.export_check import FORMS, Row

CASE = ExportCase("elman_tanh", EXAMPLES[0].with_name("elman_tanh.sprnn"), "fp32")


def test_every_example_and_three_models_are_checked() -> None:
    names = [case.name for case in export_cases()]
    assert len(names) == len(set(names)) == len(EXAMPLES) + 3
    assert {path.stem for path in EXAMPLES} <= set(names)
    assert {"lstm_1024", "gru_2048", "rnn_2304"} <= set(names)
    for case in chosen(["_1024", "_2304"]):
        source = str(case.source)
        made = sprnnc.compile(source, random_weights=0, target="sim", sizes={"H": 64}, dtype=case.dtype)
        assert 0.05 < np.count_nonzero(next(iter(made.tensors.values()))) / 64**2 < 0.15


@pytest.mark.parametrize(
    ("failures", "equal", "c", "python", "passes"),
    [
        ({}, True, [[1.0, 1.0], [9.0]], [[1.0, 1.0], [1.0]], True),
        ({}, True, [[1.019]], [[1.0]], True),
        ({}, True, [[1.021]], [[1.0]], False),
        ({}, True, [[0.979]], [[1.0]], False),
        ({}, False, [[1.0]], [[1.0]], False),
        ({"two_streams": "why"}, True, [[1.0]], [[1.0]], False),
        ({"cu": "why"}, False, [], [], False),
    ],
)
def test_a_row_passes_only_if_all_is_well(failures, equal, c, python, passes) -> None:
    row = Row(CASE, failures, equal, c, python)
    assert row.passed is passes
    table = json.loads(json.dumps(row.to_json(), allow_nan=False))
    assert table["passed"] is passes and set(table["forms"]) == set(FORMS)
    assert (": pass;" in str(row)) is passes
    assert all(why in str(row) for why in failures.values())


def test_what_cannot_be_made_fails_and_is_said(tmp_path: Path) -> None:
    failures = export_check.prepare(CASE, "sm_1", tmp_path)
    assert set(failures) == set(FORMS) and "sm_1" in failures["cu"]
    row = export_check.compare(CASE, failures, tmp_path / CASE.name, 1, 1, 1)
    assert not row.passed


class FakeLayer:
    """A layer whose outputs are twice its inputs."""

    def __enter__(self) -> FakeLayer:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __call__(self, x: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        return x * 2, {}

    def time_us(self, x: np.ndarray, repeats: int) -> list[float]:
        return [2.0] * repeats


PROGRAM = """#!{python}
import sys
import numpy as np
if sys.argv[1] == "--time":
    print("\\n".join(["2.01"] * int(sys.argv[3])))
else:
    (np.fromfile(sys.argv[1], np.float32) * {factor}).astype(np.float32).tofile(sys.argv[2])
"""


@pytest.mark.parametrize(("factor", "equal"), [("2", True), ("np.float32(2.000001)", False)])
def test_outputs_and_times_of_both_are_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, factor: str, equal: bool
) -> None:
    monkeypatch.setattr(export_check, "open_layer", lambda *_: FakeLayer())
    folder = tmp_path / "cu"
    folder.mkdir()
    CASE.compile("sim").save(tmp_path / "artifact.sprnnx")
    (folder / "elman_tanh_test").write_text(PROGRAM.format(python=sys.executable, factor=factor))
    (folder / "elman_tanh_test").chmod(0o755)
    row = export_check.compare(CASE, {}, tmp_path, steps=3, repeats=5, rounds=2)
    assert (row.equal, row.passed) == (equal, equal)
    assert row.c == [[2.01] * 5] * 2 and row.python == [[2.0] * 5] * 2


def test_a_program_that_fails_hides_no_other_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_check, "open_layer", lambda *_: FakeLayer())
    (tmp_path / "cu").mkdir()
    CASE.compile("sim").save(tmp_path / "artifact.sprnnx")
    (tmp_path / "cu/elman_tanh_test").write_text("#!/bin/sh\nexit 3\n")
    (tmp_path / "cu/elman_tanh_test").chmod(0o755)
    row = export_check.compare(CASE, {}, tmp_path, steps=3, repeats=5, rounds=2)
    assert not row.passed and "exit status 3" in row.failures["cu"]


def test_one_file_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_check, "find_gpu", lambda: ("a GPU", "sm_90"))
    monkeypatch.setattr(export_check, "ProcessPoolExecutor", lambda *_, **__: Inline())
    monkeypatch.setattr(export_check, "prepare", lambda case, target, work: {})
    row = Row(CASE, {}, True, [[1.0]], [[1.0]])
    monkeypatch.setattr(export_check, "compare", lambda *_: row)
    monkeypatch.setattr(
        sys, "argv", ["check", str(tmp_path / "out"), "--only", "lstm", "--commit", "c0ffee1"]
    )
    assert export_check.main() == 0
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["export.json"]
    written = json.loads((tmp_path / "out/export.json").read_text())
    assert written["commit"] == "c0ffee1"
    assert written["gpu"] == "a GPU" and len(written["rows"]) == len(chosen(["lstm"])) > 1


class Inline:
    """A pool of one process: this one."""

    map = staticmethod(map)

    def __enter__(self) -> Inline:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc is not in PATH")
def test_builds_are_made_for_every_target(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr(export_builds, "ProcessPoolExecutor", lambda *_, **__: Inline())
    monkeypatch.setattr(sys, "argv", ["builds", "--only", "elman_tanh", "--targets", "sm_90"])
    assert export_builds.main() == 0
    assert capsys.readouterr().out == "elman_tanh fp32 sm_90: builds\n"
    refused = SimpleNamespace(returncode=1, stdout="", stderr="it does not build")
    monkeypatch.setattr(export_builds.subprocess, "run", lambda *_, **__: refused)
    assert export_builds.main() == 1
    assert "it does not build" in capsys.readouterr().out
