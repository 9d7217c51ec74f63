"""Exports on the GPU at hand: equal to the Python runtime bit for bit, and as fast.

    python -m benchmarks.export_check OUT [--only NAME ...] [--steps 256] [--repeats 101] [--rounds 5]
        [--commit HASH]

Every example cell and model and three larger layers are compiled, exported in all forms and built, many at
once; each form runs its own test, the library also two models on two streams. Then, with nothing else on
the GPU, the outputs of C are compared with those of Python, and both are timed in turns; Python multiplies
inputs by the same kernels as C, not by a library. OUT receives ``export.json``. The exit code is 0 if all
tests pass, all outputs are equal, and all median times a step are within 2 %. Needs nvcc, make, a C
compiler and a GPU.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import math
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from sprnn_runtime.errors import SprnnError
from sprnn_runtime.layer import Layer, open_layer
from sprnn_runtime.network import open_network

from benchmarks.export_cases import BATCH, ExportCase, chosen, draw
from sprnnc.export.cubin_form import cubin_files
from sprnnc.export.folder import write_folder
from sprnnc.export.library_form import library_files
from sprnnc.export.source_form import source_files
from sprnnc.network_artifact import Compiled, NetworkArtifact, load

MOST_DIFFERENCE = 0.02
FORMS = ("cu", "lib", "two_streams", "cubin")
Times = list[list[float]]


@dataclass(frozen=True, slots=True)
class Row:
    """What one case gave.

    ``failures``: by form, why its test does not pass; empty where all do. ``c`` and ``python``: microseconds
    a step of every run, by round.
    """

    case: ExportCase
    failures: dict[str, str]
    equal: bool
    c: Times
    python: Times

    @property
    def difference(self) -> float:
        """The median time of C over that of Python, less one."""
        return median(self.c) / median(self.python) - 1

    @property
    def passed(self) -> bool:
        return not self.failures and self.equal and abs(self.difference) <= MOST_DIFFERENCE

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.case.name,
            "dtype": self.case.dtype,
            "forms": {form: self.failures.get(form, "pass") for form in FORMS},
            "equal": self.equal,
            "c_us_per_step": _number(median(self.c)),
            "python_us_per_step": _number(median(self.python)),
            "difference": _number(self.difference),
            "c_us_by_round": [statistics.median(r) for r in self.c],
            "python_us_by_round": [statistics.median(r) for r in self.python],
            "passed": self.passed,
        }

    def __str__(self) -> str:
        times = (
            f"C {median(self.c):.3f} us, Python {median(self.python):.3f} us a step ({self.difference:+.1%})"
        )
        forms = ", ".join(f"{form} {'FAILS' if form in self.failures else 'passes'}" for form in FORMS)
        verdict = "pass" if self.passed else "FAIL"
        lines = [f"{self.case.name} {self.case.dtype}: {verdict}; {forms}; equal {self.equal}; {times}"]
        return "\n".join([*lines, *self.failures.values()])


def median(rounds: Times) -> float:
    """Of all runs of all rounds; NaN where nothing ran."""
    runs = [us for r in rounds for us in r]
    return statistics.median(runs) if runs else float("nan")


def _number(value: float) -> float | None:
    """JSON has no NaN."""
    return None if math.isnan(value) else value


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME")
    parser.add_argument("--steps", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=101)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--commit", default="", metavar="HASH", help="recorded with the results")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    args = parser.parse_args()
    try:
        gpu, arch = find_gpu()
    except RuntimeError as error:
        sys.exit(f"no GPU here: {error}")
    cases, began = chosen(args.only), time.perf_counter()
    args.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        with ProcessPoolExecutor(args.jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
            failures = list(pool.map(partial(prepare, target=arch, work=work), cases))
        print(f"built and tested in {time.perf_counter() - began:.0f} s", flush=True)
        rows = []
        for case, failed in zip(cases, failures, strict=True):
            row = compare(case, failed, work / case.name, args.steps, args.repeats, args.rounds)
            rows.append(row)
            print(row, flush=True)
    table = {
        "gpu": gpu,
        "commit": args.commit,
        "batch": BATCH,
        "steps": args.steps,
        "rows": [row.to_json() for row in rows],
    }
    (args.out / "export.json").write_text(json.dumps(table, indent=1) + "\n")
    passed = sum(r.passed for r in rows)
    print(f"{passed} of {len(rows)} pass, in {time.perf_counter() - began:.0f} s")
    return 0 if rows and passed == len(rows) else 1


# ---- what is done for many cases at once


def prepare(case: ExportCase, target: str, work: Path) -> dict[str, str]:
    """Compiles, exports in all forms, builds, and runs the tests of the forms; why some fail, by form."""
    folder = work / case.name
    folder.mkdir()
    try:
        artifact = case.compile(target)
        artifact.save(folder / "artifact.sprnnx")
        write_folder(folder / "cu", source_files(artifact, embed=False))
        write_folder(folder / "lib", library_files(artifact, embed=True))
        write_folder(folder / "cubin", cubin_files(artifact, embed=False))
    except Exception as error:  # one that cannot be made must not hide the others
        return dict.fromkeys(FORMS, f"{type(error).__name__}: {error}")
    commands = {
        "cu": ["make", "-C", "cu", "check"],
        "lib": [*_make_library(artifact.manifest.name), "test"],
        "two_streams": [*_make_library(artifact.manifest.name), "two_streams"],
        "cubin": ["make", "-C", "cubin", f"CUDA={cuda()}", f"LIBCUDA={driver_library()}", "check"],
    }
    run_after = {"lib": ["./test"], "two_streams": ["./two_streams"]}
    failures = {form: failure(command, folder) for form, command in commands.items()}
    for form, command in run_after.items():
        failures[form] = failures[form] or failure(command, folder / "lib/examples")
    return {form: why for form, why in failures.items() if why}


def _make_library(name: str) -> list[str]:
    """Its examples find the library by pkg-config; where there is none, by what that would say."""
    command = ["make", "-C", "lib/examples", f"CUDA={cuda()}"]
    if shutil.which("pkg-config"):
        return command
    return [*command, f"FLAGS=-I../include -I{cuda()}/include -L../lib -l{name} -L{cuda()}/lib64 -lcudart"]


def failure(command: list[str], folder: Path) -> str:
    """The last lines of a command that failed; empty if it did not."""
    done = subprocess.run(
        command, cwd=folder, env=_environment(), capture_output=True, text=True, errors="replace", check=False
    )
    return "" if done.returncode == 0 else f"{' '.join(command)}: {(done.stdout + done.stderr)[-800:]}"


def _environment() -> dict[str, str]:
    """Programs find the CUDA runtime where the toolkit has it."""
    paths = [f"{cuda()}/lib64", os.environ.get("LD_LIBRARY_PATH", "")]
    return {**os.environ, "LD_LIBRARY_PATH": ":".join(filter(None, paths))}


# ---- what is done alone


def compare(
    case: ExportCase, failures: dict[str, str], folder: Path, steps: int, repeats: int, rounds: int
) -> Row:
    """The outputs and times of C (form cu) beside those of Python."""
    if "cu" in failures:
        return Row(case, failures, False, [], [])
    try:
        return Row(case, failures, *measure(folder, steps, repeats, rounds))
    except (subprocess.CalledProcessError, SprnnError) as error:  # the others are still compared
        return Row(case, {**failures, "cu": str(error)}, False, [], [])


def measure(folder: Path, steps: int, repeats: int, rounds: int) -> tuple[bool, Times, Times]:
    """Whether outputs are equal; the times of C and of Python."""
    artifact = load(folder / "artifact.sprnnx")
    x = draw(artifact, steps)
    c: Times = []
    python: Times = []
    with open_on(artifact, "cuda") as layer:  # with its own kernels alone, as C has them
        program = [f"./{artifact.manifest.name}_test"]
        equal = same_output(layer, x, program, folder / "cu")
        for _ in range(rounds):  # in turns: the clock of a GPU wanders
            printed = output([*program, "--time", str(steps), str(repeats)], folder / "cu")
            c.append([float(us) for us in printed.split()])
            python.append(layer.time_us(x, repeats))
    return equal, c, python


def open_on(artifact: Compiled, device: str) -> Layer:
    if isinstance(artifact, NetworkArtifact):
        return open_network(artifact.loaded(), device)
    return open_layer(artifact.loaded(), device)


def same_output(layer: Layer, x: np.ndarray[Any, Any], program: list[str], folder: Path) -> bool:
    """Whether the program writes the very bits that the runtime returns."""
    x.tofile(folder / "x.bin")
    output([*program, "x.bin", "y.bin"], folder)
    y, _ = layer(x)
    return (folder / "y.bin").read_bytes() == y.tobytes()


def output(command: list[str], folder: Path) -> str:
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def find_gpu() -> tuple[str, str]:
    """The name of the GPU at hand, and its target. Raises RuntimeError where there is none."""
    from cuda.bindings import driver

    if int(driver.cuInit(0)[0]):
        raise RuntimeError("cuInit fails")
    kind = driver.CUdevice_attribute
    major = driver.cuDeviceGetAttribute(kind.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, 0)[1]
    minor = driver.cuDeviceGetAttribute(kind.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, 0)[1]
    name = driver.cuDeviceGetName(80, 0)[1].split(b"\0")[0].decode()
    return name, f"sm_{major}{minor}"


def cuda() -> str:
    """The folder of the CUDA toolkit: $CUDA_HOME, or where nvcc is, or where it usually is."""
    usual = Path("/usr/local/cuda")
    nvcc = Path(shutil.which("nvcc") or usual / "bin/nvcc").resolve()
    found = nvcc.parents[1]
    return os.environ.get("CUDA_HOME") or str(found if (found / "include/cuda.h").exists() else usual)


def driver_library() -> str:
    """The driver's library that this process uses: toolkits need not have one to link with."""
    with suppress(OSError):
        ctypes.CDLL("libcuda.so.1")
    maps = Path("/proc/self/maps").read_text(encoding="utf-8")
    usual = f"-L{cuda()}/lib64/stubs -lcuda"
    return next((line.split()[-1] for line in maps.splitlines() if "libcuda.so" in line), usual)


if __name__ == "__main__":
    os.environ["SPRNN_OWN_PRODUCTS"] = "1"
    sys.exit(main())
