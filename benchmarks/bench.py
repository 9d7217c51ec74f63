"""Measures ours and every peer side by side on this machine's GPU, and writes one row a case.

    python -m benchmarks.bench --output benchmarks/results/h200.json [--artifacts DIR] [--commit HASH]
        [--only REGEX] [--group NAME] [--mode MODE] [--peers all|strongest|none] [--flashrnn]
        [--time-limit SECONDS] [--resume]

Times are medians of microseconds a step by CUDA events around one call of T steps, everything that
the call launches included. Ours is timed before the peers and after them. Outputs of exactly what was
timed are compared with a float64 reference. Rows are written as they come; a run that is stopped goes
on with --resume.
"""

from __future__ import annotations

import argparse
import re
import signal
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic

from benchmarks.cases import Case
from benchmarks.floors import Floors
from benchmarks.machine import describe_machine
from benchmarks.ours import NotMeasured, Ours
from benchmarks.peers.build import BuildError, build
from benchmarks.peers.catalogue import peers_of
from benchmarks.peers.inputs import InputStore
from benchmarks.peers.library import PeerLibrary
from benchmarks.peers.outcome import Peer, Refused, Timing
from benchmarks.prepare import Prepared, load_prepared, prepare
from benchmarks.problem import Float64, Problem, load_problem, relative_error
from benchmarks.results_file import ResultsFile, Row
from benchmarks.rows import PeerResult, Setting, judge, make_row
from benchmarks.selection import add_selection_options, select

_HEADER = f"{'case':<46} {'ours':>7} {'error':>8} {'best peer':>9} {'ratio':>6} {'asked':>6}  which peer"


class DeviceLost(Exception):
    """A peer broke the process's context: nothing more can be measured here."""


class Bench:
    """One run over cases, on one GPU, into one file."""

    def __init__(
        self,
        options: argparse.Namespace,
        folder: Path,
        library: PeerLibrary | None,
        setting: Setting,
        floors: Floors,
    ) -> None:
        self._options = options
        self._folder = folder
        self._library = library
        self._setting = setting
        self._floors = floors
        self._results = ResultsFile(options.output)

    def run(self, cases: Sequence[Case]) -> None:
        """Measures until all is done, or the time is up: then it ends after the case in hand."""
        deadline = monotonic() + self._options.time_limit
        print(_HEADER, flush=True)
        for number, case in enumerate(cases):
            if self._is_done(case):
                continue
            if monotonic() > deadline:
                print(f"time is up: {len(cases) - number} cases are left for --resume", flush=True)
                return
            row = self._measure(case)
            print(summary(row), flush=True)

    def _is_done(self, case: Case) -> bool:
        """A row that lacks a peer of this run, such as one of ours alone, is measured again."""
        row = self._results.find(case.name) if self._options.resume else None
        if row is None or not row["complete"] or row["commit"] != self._setting.commit:
            return False
        return set(row["peers"]) >= {peer.name for peer in self._peers(case)}

    def _measure(self, case: Case) -> Row:
        """The row of one case, already written; ours alone is written before any peer is tried."""
        prepared = load_prepared(self._folder, case)
        assert prepared is not None, f"{case.name} is not prepared"
        problem, expected = load_problem(case, prepared.problem)
        peers = self._peers(case)
        results: list[PeerResult] = []
        try:
            with Ours.open(prepared, problem.x, expected, case.dtype) as ours:
                ours.time(self._options.repeats)
                self._put(case, prepared, ours, [], complete=not peers)
                self._measure_peers(peers, problem, expected, results)
                ours.time(self._options.repeats)
                return self._put(case, prepared, ours, results)
        except NotMeasured as error:
            if not results:
                self._measure_peers(peers, problem, expected, results)
            return self._put(case, prepared, None, results, refusal=str(error))

    def _peers(self, case: Case) -> list[Peer]:
        if self._library is None or not case.has_peers:
            return []
        seconds = self._options.flashrnn_seconds if self._options.flashrnn else 0
        strongest = self._options.peers == "strongest"
        return peers_of(case, self._library, strongest_only=strongest, flashrnn_seconds=seconds)

    def _measure_peers(
        self, peers: Sequence[Peer], problem: Problem, expected: Float64, results: list[PeerResult]
    ) -> None:
        """Adds every peer's result to ``results``. Raises DeviceLost."""
        store = InputStore(problem)
        timing = Timing(repeats=self._options.repeats)
        for peer in peers:
            if self._options.skip_peer and re.search(self._options.skip_peer, peer.name):
                results.append(PeerResult(peer.name, refusal="left out of this run"))
                continue
            results.append(measure_peer(peer, store, timing, problem, expected))
            assert self._library is not None
            if not self._library.device_is_well():
                raise DeviceLost(f"{peer.name} broke the GPU's context: {results[-1].refusal}")

    def _put(
        self,
        case: Case,
        prepared: Prepared,
        ours: Ours | None,
        peers: Sequence[PeerResult],
        *,
        refusal: str = "",
        complete: bool = True,
    ) -> Row:
        row = make_row(
            case,
            self._setting,
            prepared.plan,
            ours.times_us if ours else [],
            ours.error if ours else None,
            peers,
            floor_us=self._floors.of(case),
            refusal=refusal,
            complete=complete,
        )
        self._results.put(row)
        return row


def measure_peer(
    peer: Peer, store: InputStore, timing: Timing, problem: Problem, expected: Float64
) -> PeerResult:
    """A peer's result; any refusal or failure of it is one, too."""
    try:
        measured = peer.run(store.inputs(peer.precision, peer.batch), timing)
    except Refused as error:
        return PeerResult(peer.name, refusal=" ".join(str(error).split()))
    except Exception as error:  # a peer is not ours: whatever it raises, the row goes on
        return PeerResult(peer.name, refusal=f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")
    difference = relative_error(measured.y[:, : problem.case.batch], expected)
    return judge(peer, measured, difference, problem.case.dtype)


def summary(row: Row) -> str:
    """One line of the table; a case that was not measured says why."""

    def number(key: str, form: str) -> str:
        return "-" if row[key] is None else format(row[key], form)

    best = row["peers"].get(row["best_peer"])
    name = row["name"].replace("-recurrent-t256", "").replace("-tuned", "")
    return (
        f"{name:<46} {number('us_per_step', '7.3f'):>7} {number('rel_error', '8.1e'):>8} "
        f"{'-' if best is None else format(best, '9.3f'):>9} {number('ratio', '6.2f'):>6} "
        f"{number('required', '6.1f'):>6}  {row['best_peer'] or ''}{row['refusal'][:120]}"
    )


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True, metavar="JSON", help="rows are added to it")
    add_selection_options(parser)
    parser.add_argument("--artifacts", type=Path, metavar="DIR", help="a folder of benchmarks.compile_cases")
    parser.add_argument("--peers", choices=("all", "strongest", "none"), default="all")
    parser.add_argument(
        "--no-peers", dest="peers", action="store_const", const="none", help="the same as --peers none"
    )
    parser.add_argument("--skip-peer", metavar="REGEX", help="peers to leave out, such as one that crashes")
    parser.add_argument("--library", type=Path, metavar="SO", help="a build of benchmarks.peers.build")
    parser.add_argument("--flashrnn", action="store_true", help="FlashRNN too: minutes to build a shape")
    parser.add_argument("--flashrnn-seconds", type=float, default=300, metavar="S", help="for one shape")
    parser.add_argument("--floors", type=Path, metavar="JSON", help="measured exchange floors")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument(
        "--time-limit", type=float, default=float("inf"), metavar="S", help="ends after the case in hand"
    )
    parser.add_argument("--resume", action="store_true", help="skips rows that this commit already has")
    parser.add_argument("--commit", default="", metavar="HASH", help="recorded with every row")
    return parser.parse_args(arguments)


def load_library(path: Path | None, folder: Path) -> PeerLibrary:
    """The CUDA peers, built in ``folder`` if no ``path`` is given; ends the program if they cannot be."""
    try:
        return PeerLibrary(path or build(folder / "libpeers.so"))
    except (BuildError, Refused) as error:
        raise SystemExit(f"the peers cannot be built; --peers none measures ours alone\n{error}") from error


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse_arguments(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended from outside"))  # ends a peer's process, too
    cases = select(options)
    setting = Setting(*describe_machine(options.commit))  # first, for without a GPU all else is in vain
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.artifacts or Path(scratch)
        with ThreadPoolExecutor(1) as pool:  # nvcc and the compiler of the cells work side by side
            wanted = options.peers != "none"
            library = pool.submit(load_library, options.library, Path(scratch)) if wanted else None
            prepare(cases, folder)
        floors = Floors.read(options.floors) if options.floors else Floors([])
        try:
            Bench(options, folder, library.result() if library else None, setting, floors).run(cases)
        except DeviceLost as error:
            advice = f"rows so far are in {options.output}; go on with --resume and --skip-peer"
            raise SystemExit(f"{error}\n{advice}") from error


if __name__ == "__main__":
    main()
