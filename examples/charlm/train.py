"""Trains a character language model, dense and pruned, compiles what was pruned, checks and times it.

On a GPU, all in under seven minutes (from a checkout that is not installed: examples/charlm/gpu.sh OUT HASH):

    python -m examples.charlm.train --hidden 1024 --time-limit 390 --commit HASH --output h200.json

On a CPU a small one, in two minutes:

    python -m examples.charlm.train --hidden 128 --time-limit 120 --output cpu.json

The networks of size --hidden share a dense trunk, then each takes as many steps again in a branch of its own:
one stays dense, the others are pruned while they learn. A smaller dense network with as many non-zeros as the
first of the pruned ones is trained from scratch for as many steps. How many steps that are follows from
--time-limit and the measured time of one; --steps bounds it. Results are written after every model.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from examples.charlm import timing
from examples.charlm.corpus import read_corpus
from examples.charlm.demo_model import save_demo
from examples.charlm.learning import train_all
from examples.charlm.measuring import check_kernels, measure
from examples.charlm.results import Results
from examples.charlm.run import Run, find_machine, header
from examples.charlm.self_check import self_check
from examples.charlm.training import Recipe, Text


def run_all(run: Run) -> None:
    """Everything, in order. Raises SystemExit where a part gives what it must not."""
    options, machine = run.options, run.machine
    run.say(f"{machine.gpu or 'no GPU'}; {len(run.corpus.training):,} characters to learn from")
    run.say(self_check(run.work / "tiny", run.corpus.training, machine.device, machine.target))
    builds_peers = machine.device == "cuda" and not options.no_peers and not options.peers
    building = timing.start_peers_build(run.work / "peers.so") if builds_peers else None
    try:
        with ProcessPoolExecutor(machine.workers, mp_context=get_context("spawn")) as pool:
            train_all(run, pool)
            if options.save:
                save_demo(run)
            check_kernels(run)
        if machine.device == "cuda":
            measure(run, building)
    finally:
        if building and building.poll() is None:
            building.kill()
    run.results.header["seconds"] = round(run.elapsed, 1)
    run.results.write()
    run.say(f"done: {options.output}")


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hidden", type=int, default=1024, help="units of the LSTM, a multiple of 8")
    parser.add_argument("--densities", type=float, nargs="+", default=[0.1, 0.05])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4], help="columns that kernels run")
    parser.add_argument("--time-limit", type=float, default=390, metavar="S", help="for everything together")
    parser.add_argument("--reserve", type=float, metavar="S", help="of it, for all that follows training")
    parser.add_argument("--steps", type=int, metavar="N", help="at most so many of each network")
    parser.add_argument("--batch", type=int, help="columns of a training step")
    parser.add_argument("--length", type=int, help="characters of a training step")
    parser.add_argument("--dropout", type=float, default=0.2, help="of the dense network of size --hidden")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--text", type=Path, metavar="DIR", help="Python sources other than the library's")
    parser.add_argument("--no-equal", action="store_true", help="no dense network of equal non-zeros")
    parser.add_argument("--no-peers", action="store_true", help="torch.nn alone, no build of other peers")
    parser.add_argument("--peers", type=Path, metavar="SO", help="a build of benchmarks.peers.build")
    parser.add_argument("--save", type=Path, metavar="DIR", help="the first pruned model, for the demo")
    parser.add_argument("--work", type=Path, metavar="DIR", help="keeps models and artifacts here")
    parser.add_argument("--commit", default="", metavar="HASH", help="recorded with the results")
    parser.add_argument("--output", type=Path, default=Path("charlm.json"), metavar="JSON")
    options = parser.parse_args(arguments)
    if options.hidden < 8 or options.hidden % 8:
        parser.error(f"--hidden {options.hidden}: expected a multiple of 8")
    if not all(0 < density < 1 for density in options.densities):
        parser.error("--densities are above 0 and below 1")
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    began = time.monotonic()
    options, machine = parse_arguments(arguments), find_machine()
    recipe = Recipe(options.batch or machine.batch, options.length or machine.length)
    corpus = read_corpus(options.text)
    text = Text(corpus.training, recipe, machine.device)
    results = Results(options.output, header(options, machine, corpus, recipe))
    with tempfile.TemporaryDirectory() as scratch:
        work = options.work or Path(scratch)
        run_all(Run(options, machine, work, corpus, recipe, text, results, began))


if __name__ == "__main__":
    main(sys.argv[1:])
