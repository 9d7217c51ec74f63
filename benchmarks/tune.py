"""Times schedules side by side on the GPU: every case with every setting, the fastest first.

    python -m benchmarks.tune SETTINGS.json [--output RESULT.json] [--jobs N]

SETTINGS.json: a list of {"cell", "H", "B", "density", "dtype", "accumulate", "settings": [{...}, ...]}; a
setting overrides decisions of the compiler by name. Everything is compiled first, on all processors.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

from benchmarks.atomic import write_text
from benchmarks.cases import Case
from benchmarks.cells import CellKind
from benchmarks.ours import Ours
from benchmarks.prepare import TARGET, Prepared, compile_case
from benchmarks.problem import Float32, Float64, draw_problem, reference

Asked = Mapping[str, Any]  # an entry of SETTINGS.json
Row = dict[str, Any]
_SHAPE = ("cell", "H", "B", "density", "dtype")


def case_of(asked: Asked) -> Case:
    return Case(CellKind[asked["cell"].upper()], asked["H"], asked["B"], asked["density"], asked["dtype"])


def build(job: tuple[Asked, Asked, Path]) -> Row:
    """Saves one setting's artifact, and returns facts about it or why there is none."""
    import sprnnc

    asked, setting, path = job
    began = time.perf_counter()
    try:
        artifact = compile_case(case_of(asked), TARGET, setting, asked["accumulate"])
    except sprnnc.CompileError as error:
        return {"refused": str(error)[:300]}
    artifact.save(path)
    phase, used = artifact.plan.phases[0], artifact.manifest.resources["recurrence"]
    return {
        "lanes": artifact.plan.spaces[0].lanes_per_row,
        "warps": phase.gather_warps,
        "slots": [phase.register_slots, phase.shared_slots, phase.streamed_slots],
        "registers": used.registers,
        "compile_s": round(time.perf_counter() - began, 1),
    }


def measure(path: Path, case: Case, repeats: int) -> Row:
    """Median microseconds a step of one call, and the relative error against float64."""
    x, expected = _expected(case)
    with Ours.open(Prepared(path, path, {}, ""), x, expected, case.dtype) as ours:
        ours.time(repeats)
    return {"us": statistics.median(ours.times_us), "low": min(ours.times_us), "error": ours.error}


@lru_cache(maxsize=2)  # the settings of a case follow each other
def _expected(case: Case) -> tuple[Float32, Float64]:
    problem = draw_problem(case)
    return problem.x, reference(problem)


def tune(cases: list[Asked], folder: Path, jobs: int, repeats: int) -> list[Row]:
    """A row for every setting: compiled in ``folder`` by ``jobs`` processes, timed as it comes."""
    work = [(case, setting) for case in cases for setting in case["settings"]]
    paths = [folder / f"{i}.sprnnx" for i in range(len(work))]
    rows: list[Row] = []
    with ProcessPoolExecutor(jobs) as pool:
        facts = pool.map(build, [(*pair, path) for pair, path in zip(work, paths, strict=True)])
        for (asked, setting), path, known in zip(work, paths, facts, strict=True):
            row = {key: asked[key] for key in _SHAPE} | {"setting": setting} | known
            if "refused" not in row:
                try:
                    row |= measure(path, case_of(asked), repeats)
                except Exception as error:  # one bad setting must not lose the others
                    row["failed"] = str(error)[:300]
            rows.append(row)
    return rows


def show(cases: Iterable[Asked], rows: Iterable[Row]) -> None:
    """Prints a case's settings below its shape, the fastest first."""
    for case in cases:
        mine = [r for r in rows if all(r[k] == case[k] for k in _SHAPE)]
        print(case["cell"], case["H"], "B", case["B"], case["density"], case["dtype"])
        for r in sorted(mine, key=lambda r: r.get("us", 1e9)):
            print(
                f"  {r.get('us', float('nan')):7.3f} {r.get('low', float('nan')):7.3f}"
                f" err {r.get('error', 0):.1e} L{r.get('lanes')} w{r.get('warps')}"
                f" slots {r.get('slots')} regs {r.get('registers')} {r.get('compile_s')}s {r['setting']}"
                f" {str(r.get('failed', r.get('refused', '')))[:100]}"
            )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("settings", type=Path)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--jobs", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    cases = json.loads(options.settings.read_text())
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        rows = tune(cases, Path(folder), options.jobs, options.repeats)
    print(f"{len(rows)} settings in {time.perf_counter() - began:.0f} s")
    show(cases, rows)
    if options.output:
        write_text(options.output, json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
