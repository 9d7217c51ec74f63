"""Ten times the parameters in half the time: pruned models beside the largest that cuDNN runs persistently.

    python -m benchmarks.tenfold --output benchmarks/results/h200.json --artifacts DIR [--library SO]
        [--floors FILE] [--commit HASH] [--densities D ...] [--prepare-only] [--time-limit SECONDS] [--resume]

The dense model is the largest that any persistent algorithm of cuDNN takes in fp16, with the batch as it is
or padded; its time is that of the fastest of them. The pruned model has ten times its parameters, zeros
included: sqrt(10) times its hidden size. What was found is kept in DIR, so that --prepare-only, which may
share the GPU, leaves nothing to compile for the run that times.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from time import monotonic

from benchmarks.bench import load_library, measure_peer, summary
from benchmarks.cases import Case
from benchmarks.floors import Floors
from benchmarks.machine import describe_machine
from benchmarks.ours import NotMeasured, Ours
from benchmarks.peers.catalogue import PADDED_BATCH, cudnn_peers
from benchmarks.peers.inputs import InputStore
from benchmarks.peers.library import PeerLibrary
from benchmarks.peers.outcome import Peer, Precision, Timing
from benchmarks.persistent import DYNAMIC, STATIC, ContextLost, Limit, load_limits, save_limits, search
from benchmarks.prepare import load_prepared, prepare, problem_path
from benchmarks.problem import load_problem
from benchmarks.results_file import ResultsFile, Row
from benchmarks.rows import PeerResult, Setting, make_row
from benchmarks.tenfold_cases import BATCH, DENSITIES, GROUP, KINDS, dense_case, pruned_cases


def row_name(case: Case) -> str:
    """Apart from the rows of the table, whose peers have the case's own size."""
    return f"{case.name}-{GROUP}"


def persistent_peers(dense: Case, library: PeerLibrary) -> list[Peer]:
    """cuDNN's persistent algorithms in fp16."""
    peers = cudnn_peers(dense, library)
    return [p for p in peers if p.precision is Precision.FP16 and p.variant in (*STATIC, DYNAMIC)]


class Tenfold:
    """The timing of the models, into one file."""

    def __init__(
        self,
        options: argparse.Namespace,
        library: PeerLibrary,
        setting: Setting,
        floors: Floors,
        limits: Sequence[Limit],
    ) -> None:
        self._options = options
        self._library = library
        self._setting = setting
        self._floors = floors
        self._limits = limits
        self._results = ResultsFile(options.output)

    def run(self, dense_cases: Sequence[Case]) -> None:
        """Raises ContextLost. Ends after the row in hand when the time is up."""
        deadline = monotonic() + self._options.time_limit
        for dense in dense_cases:
            todo = [c for c in pruned_cases(dense, self._options.densities) if not self._is_done(c)]
            if not todo:
                continue
            peers = self._measure_dense(dense)
            for number, case in enumerate(todo):
                if monotonic() > deadline:
                    print(
                        f"time is up: {len(todo) - number} rows of {dense.kind.value} are left for --resume"
                    )
                    return
                print(summary(self._measure(case, dense, peers)), flush=True)

    def _is_done(self, case: Case) -> bool:
        row = self._results.find(row_name(case)) if self._options.resume else None
        return row is not None and row["commit"] == self._setting.commit

    def _measure_dense(self, dense: Case) -> list[PeerResult]:
        """The dense model with every persistent algorithm, each under a name that says its size."""
        problem, expected = load_problem(dense, problem_path(self._options.artifacts, dense))
        store, timing = InputStore(problem), Timing(repeats=self._options.repeats)
        results = []
        for peer in persistent_peers(dense, self._library):
            got = measure_peer(peer, store, timing, problem, expected)
            name = f"{got.name} H={dense.hidden}"
            results.append(PeerResult(name, got.times_us, got.error, got.refusal))
            if not self._library.device_is_well():
                raise ContextLost(f"{name} broke the GPU's context: {got.refusal}")
        return results

    def _measure(self, case: Case, dense: Case, peers: Sequence[PeerResult]) -> Row:
        prepared = load_prepared(self._options.artifacts, case)
        assert prepared is not None, f"{case.name} is not prepared"
        problem, expected = load_problem(case, prepared.problem)
        times, error, refusal = [], None, ""
        try:
            with Ours.open(prepared, problem.x, expected, case.dtype) as ours:
                error = ours.error
                ours.time(self._options.repeats)
                times = ours.times_us
        except NotMeasured as reason:
            refusal = str(reason)
        row = make_row(
            case,
            self._setting,
            prepared.plan,
            times,
            error,
            peers,
            floor_us=self._floors.of(case),
            refusal=refusal,
        )
        limits = [asdict(limit) for limit in self._limits if limit.cell == case.kind.name]
        row |= {"name": row_name(case), "groups": [GROUP], "dense_H": dense.hidden, "limits": limits}
        self._results.put(row)
        return row


def find_limits(folder: Path, library: PeerLibrary, setting: Setting) -> list[Limit]:
    """What the folder knows of this GPU and this cuDNN, or a new search. Raises ContextLost."""
    path = folder / "persistent.json"
    made_by = f"{setting.gpu}, {setting.versions.get('nvidia-cudnn-cu13', 'unknown')}"
    known = load_limits(path, made_by)
    if known is None:
        known = search(library, KINDS, sorted({BATCH, PADDED_BATCH}))
        save_limits(path, made_by, known)
    return known


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True, metavar="JSON", help="rows are added to it")
    parser.add_argument("--artifacts", type=Path, required=True, metavar="DIR")
    parser.add_argument("--library", type=Path, metavar="SO", help="a build of benchmarks.peers.build")
    parser.add_argument("--floors", type=Path, metavar="FILE", help="measured exchange floors")
    parser.add_argument("--densities", type=float, nargs="+", default=DENSITIES)
    parser.add_argument("--prepare-only", action="store_true", help="search and compile, time nothing")
    parser.add_argument("--workers", type=int, help="processes that compile (default: one a core)")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument(
        "--time-limit", type=float, default=float("inf"), metavar="S", help="ends after the row in hand"
    )
    parser.add_argument("--resume", action="store_true", help="skips rows that this commit already has")
    parser.add_argument("--commit", default="", metavar="HASH", help="recorded with every row")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse_arguments(arguments)
    setting = Setting(*describe_machine(options.commit))
    with tempfile.TemporaryDirectory() as scratch:
        library = load_library(options.library, Path(scratch))
        try:
            limits = find_limits(options.artifacts, library, setting)
            dense = [case for kind in KINDS if (case := dense_case(kind, limits))]
            pruned = [case for d in dense for case in pruned_cases(d, options.densities)]
            prepare(pruned, options.artifacts, problems_of=dense, workers=options.workers)
            if not options.prepare_only:
                floors = Floors.read(options.floors) if options.floors else Floors([])
                Tenfold(options, library, setting, floors, limits).run(dense)
        except ContextLost as error:
            raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
