"""Everything about a case that needs no GPU: its problem, its expected outputs, its artifact.

A folder of prepared cases holds ``PROBLEM.npz`` for every problem, and for every case ``NAME.sprnnx``
and ``NAME.json`` with the compiler's decisions, or with the reason why there is no artifact.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import multiprocessing
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from benchmarks.atomic import write_text
from benchmarks.cases import Case, schedule_of
from benchmarks.cells import cell_text
from benchmarks.problem import draw_problem, reference, save_problem

if TYPE_CHECKING:
    from sprnnc import Artifact

TARGET = "sm_90"
_ROOT = Path(__file__).parents[1]
_SOURCES = ("sprnnc", "runtime", "templates", "grammar")
_SUFFIXES = {".py", ".cuh", ".hpp", ".j2", ".lark"}
# Set before NumPy starts its threads in a worker: the workers themselves fill the cores.
_ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}


@dataclass(frozen=True, slots=True)
class Prepared:
    """Where a case's files lie, and what the compiler decided; ``refusal`` says why there is none."""

    artifact: Path
    problem: Path
    plan: dict[str, Any]
    refusal: str


def problem_path(folder: Path, case: Case) -> Path:
    return folder / f"{case.problem_name}.npz"


def load_prepared(folder: Path, case: Case) -> Prepared | None:
    """What the folder holds of a case; None where something of it is missing or of other sources."""
    decisions = folder / f"{case.name}.json"
    problem = problem_path(folder, case)
    if not (decisions.exists() and problem.exists()):
        return None
    stored = json.loads(decisions.read_text())
    if stored["made_from"] != made_from(case):
        return None
    return Prepared(folder / f"{case.name}.sprnnx", problem, stored["plan"], stored["refusal"])


def prepare_problem(folder: Path, case: Case) -> str:
    """Draws and saves the problem with its expected outputs; returns a line about it."""
    path = problem_path(folder, case)
    if path.exists():
        return f"{case.problem_name}: there already"
    began = perf_counter()
    problem = draw_problem(case)
    save_problem(problem, reference(problem), path)
    return f"{case.problem_name}: drawn in {perf_counter() - began:.1f} s"


def prepare_artifact(folder: Path, case: Case, target: str) -> str:
    """Compiles and saves the artifact, then its decisions; returns a line about it."""
    began = perf_counter()
    plan, refusal = _compile(folder / f"{case.name}.sprnnx", case, target)
    stored = {"plan": plan, "refusal": refusal, "made_from": made_from(case)}
    write_text(folder / f"{case.name}.json", json.dumps(stored, indent=1) + "\n")
    return f"{case.name}: {refusal or 'compiled'} in {perf_counter() - began:.1f} s"


def _compile(path: Path, case: Case, target: str) -> tuple[dict[str, Any], str]:
    """Any failure of the compiler is this case's result and stops no other."""
    try:
        artifact = compile_case(case, target, schedule_of(case), case.accumulate)
        artifact.save(path)
    except Exception as error:
        return {}, f"{type(error).__name__}: {error}"
    return decisions_of(artifact.plan.choices), ""


def compile_case(case: Case, target: str, schedule: Mapping[str, int | str], accumulate: str) -> Artifact:
    """The artifact of a case's problem, with other decisions than its rung's where ``schedule`` says so."""
    import sprnnc

    return sprnnc.compile(
        cell_text(case.kind, case.mode, case.hidden, accumulate),
        weights=draw_problem(case).tensors(),
        batch=case.batch,
        target=target,
        dtype=case.dtype,
        schedule=dict(schedule),
    )


def made_from(case: Case) -> str:
    """A digest of the compiler's sources and of what it is given: another one means another artifact."""
    asked = repr(
        (cell_text(case.kind, case.mode, case.hidden, case.accumulate), sorted(schedule_of(case).items()))
    )
    return hashlib.sha256((_sources_digest() + asked).encode()).hexdigest()[:16]


@functools.cache
def _sources_digest() -> str:
    files = [f for folder in _SOURCES for f in (_ROOT / folder).rglob("*") if f.suffix in _SUFFIXES]
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(str(file.relative_to(_ROOT)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def decisions_of(choices: Any) -> dict[str, Any]:
    """Every decision of a plan by name: a number, or the word that the language has for it."""
    decided = {}
    for field in dataclasses.fields(choices):
        value = getattr(choices, field.name).value
        decided[field.name] = getattr(value, "value", value)
    return decided


def prepare(
    cases: Sequence[Case],
    folder: Path,
    *,
    problems_of: Sequence[Case] = (),
    target: str = TARGET,
    workers: int | None = None,
    report: Callable[[str], None] = print,
) -> None:
    """Prepares what the folder lacks, the longest work first, in ``workers`` processes (default: cores).

    ``problems_of``: cases that need no artifact, such as a dense model that only peers run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    missing = [c for c in cases if load_prepared(folder, c) is None]
    lacking = [c for c in problems_of if not problem_path(folder, c).exists()]
    if not missing and not lacking:
        return
    missing.sort(key=lambda c: -c.total_nonzeros)
    problems = list({c.problem_name: c for c in [*lacking, *missing]}.values())
    os.environ.update(_ONE_THREAD)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers or os.cpu_count(), mp_context=context) as pool:
        work: list[Future[str]] = [pool.submit(prepare_artifact, folder, c, target) for c in missing]
        work += [pool.submit(prepare_problem, folder, c) for c in problems]
        for done in as_completed(work):
            report(done.result())
