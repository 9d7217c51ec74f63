"""Builds the export of every example and three larger layers with nvcc, all warnings errors; without a GPU.

    python -m benchmarks.export_builds [--only NAME ...] [--targets sm_80 sm_90 sm_100] [--jobs N]

Each is compiled for every target and exported twice, with the weights beside the source and inside it. The
exit code is 0 if all of them build.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from benchmarks.export_cases import ExportCase, chosen
from sprnnc.export.folder import write_folder
from sprnnc.export.source_form import source_files


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME")
    parser.add_argument("--targets", nargs="+", default=["sm_80", "sm_90", "sm_100"])
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    args = parser.parse_args()
    work = [(case, target) for case in chosen(args.only) for target in args.targets]
    spawn = multiprocessing.get_context("spawn")
    failed = 0
    with ProcessPoolExecutor(args.jobs, mp_context=spawn) as pool:
        for (case, target), why in zip(work, pool.map(build, *zip(*work, strict=True)), strict=True):
            failed += bool(why)
            print(f"{case.name} {case.dtype} {target}: {why or 'builds'}", flush=True)
    return 1 if failed or not work else 0


def build(case: ExportCase, target: str) -> str:
    """What is wrong with the export; empty if it builds."""
    artifact = case.compile(target)
    for embed in (False, True):
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch, "c")
            write_folder(folder, source_files(artifact, embed=embed))
            done = subprocess.run(["make", "-C", str(folder)], capture_output=True, text=True, check=False)
            if done.returncode:
                return f"embed {embed}: {(done.stdout + done.stderr)[-2000:]}"
    return ""


if __name__ == "__main__":
    sys.exit(main())
