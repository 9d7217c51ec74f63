"""The table of cases: complete, unique, and its cells are the functions that the peers compute."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

import sprnnc
from benchmarks.cases import Case, Group, Rung, all_cases, schedule_of
from benchmarks.cells import CellKind, Mode, cell_text
from benchmarks.prepare import decisions_of
from benchmarks.problem import draw_problem, reference, relative_error

TINY = {"hidden": 24, "batch": 3, "density": 0.2, "steps": 6}


def tiny(kind: CellKind, mode: Mode = Mode.RECURRENT, **changes: object) -> Case:
    return Case(kind, mode=mode, **(TINY | changes))  # type: ignore[arg-type]


def compiled(case: Case) -> sprnnc.Artifact:
    return sprnnc.compile(
        cell_text(case.kind, case.mode, case.hidden, case.accumulate),
        weights=draw_problem(case).tensors(),
        batch=case.batch,
        target="sim",
        dtype=case.dtype,
        schedule=schedule_of(case),
    )


def test_names_are_unique_and_every_group_has_rows():
    cases = all_cases()
    assert len({c.name for c in cases}) == len(cases)
    assert {g for c in cases for g in c.groups} == set(Group)


def test_the_acceptance_rows_are_fifteen_and_alone_ask_for_a_ratio():
    cases = all_cases()
    asked = [c for c in cases if c.required is not None]
    assert len(asked) == 15
    assert asked == [c for c in cases if Group.ACCEPTANCE in c.groups]
    assert all(c.steps == 256 and c.mode is Mode.RECURRENT and c.rung is Rung.TUNED for c in asked)


def test_the_ablation_has_every_rung_at_every_point():
    points = Counter(c.problem_name for c in all_cases() if Group.ABLATION in c.groups)
    assert len(points) == 4
    assert set(points.values()) == {len(Rung)}


def test_lower_rungs_have_no_peers():
    assert all(c.has_peers == (c.rung is Rung.TUNED) for c in all_cases())


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("kind", CellKind)
@pytest.mark.parametrize("device", ["reference", "plan"])
def test_a_cell_is_the_function_of_the_float64_reference(kind, mode, device):
    case = tiny(kind, mode, dtype="fp32")
    problem = draw_problem(case)
    run = sprnnc.execute(compiled(case), problem.x, device=device)
    assert relative_error(run.y, reference(problem)) < 1e-6


@pytest.mark.parametrize("rung", Rung)
def test_the_compiler_takes_every_rung(rung):
    case = tiny(CellKind.RNN, rung=rung)
    decided = decisions_of(compiled(case).plan.choices)
    assert schedule_of(case).items() <= decided.items()


def test_the_generated_kernel_of_a_case_agrees():
    case = tiny(CellKind.GRU)
    problem = draw_problem(case)
    run = sprnnc.execute(compiled(case), problem.x, device="sim")
    assert relative_error(run.y, reference(problem)) < 1e-2
    assert np.isfinite(run.y).all()
