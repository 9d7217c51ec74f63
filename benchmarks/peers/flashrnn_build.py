"""Builds FlashRNN's kernels ahead, several at once, so that a benchmark finds them.

    python -m benchmarks.peers.flashrnn_build [--only REGEX] [--group flashrnn] [--workers N]
        [--seconds S] [--time-limit S]

Needs a GPU, for FlashRNN tries what it builds, but times nothing: the GPU may be busy.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from time import monotonic

from benchmarks.cases import Case
from benchmarks.peers.catalogue import flashrnn_peer_of
from benchmarks.peers.inputs import InputStore
from benchmarks.peers.outcome import Refused, Timing
from benchmarks.problem import draw_problem
from benchmarks.selection import add_selection_options, select

_ONCE = Timing(warmups=0, repeats=1)


def build_one(case: Case, seconds: float) -> str:
    """Runs two steps, for which everything must be built; returns a line about it."""
    if seconds <= 0:
        return f"{case.name}: no time left"
    brief = replace(case, steps=2)
    peer = flashrnn_peer_of(brief, seconds)
    try:
        peer.run(InputStore(draw_problem(brief)).inputs(peer.precision, peer.batch), _ONCE)
    except Refused as error:
        return f"{case.name}: refused: {error}"
    return f"{case.name}: built"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_selection_options(parser)
    parser.add_argument("--workers", type=int, default=4, help="kernels that are built at once")
    parser.add_argument("--seconds", type=float, default=300, metavar="S", help="for one shape")
    parser.add_argument("--time-limit", type=float, default=float("inf"), metavar="S", help="for all shapes")
    options = parser.parse_args(arguments)
    deadline = monotonic() + options.time_limit

    def build_in_time(case: Case) -> str:
        return build_one(case, min(options.seconds, deadline - monotonic()))

    with ThreadPoolExecutor(options.workers) as pool:
        for line in pool.map(build_in_time, select(options)):
            print(line, flush=True)


if __name__ == "__main__":
    main()
