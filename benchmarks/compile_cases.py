"""Prepares cases ahead, without a GPU: weights, inputs, expected outputs and artifacts.

    python -m benchmarks.compile_cases DIR [--only REGEX] [--group NAME] [--target sm_90] [--workers N]

``python -m benchmarks.bench --artifacts DIR`` then spends its time on the GPU alone.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.prepare import TARGET, prepare
from benchmarks.selection import add_selection_options, select


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", metavar="DIR", type=Path)
    add_selection_options(parser)
    parser.add_argument("--target", default=TARGET)
    parser.add_argument("--workers", type=int, help="processes (default: one a core)")
    options = parser.parse_args()
    cases = select(options)
    prepare(cases, options.folder, target=options.target, workers=options.workers)
    print(f"{len(cases)} cases are ready in {options.folder}")


if __name__ == "__main__":
    main()
