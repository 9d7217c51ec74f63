"""Exports of every example on the GPU at hand: equal to the Python runtime bit for bit, and as fast.

    python -m benchmarks.export_check OUT [--steps 2048] [--repeats 21]

OUT receives ``export.json`` and the exported folders. The exit code is 0 if every cell passes its built-in
test in all forms, equals the runtime, and its median time a step is within 2 % of it. Needs nvcc and a GPU.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sprnn_runtime.layer import Layer, open_layer

import sprnnc
from sprnnc.export.cubin_form import cubin_files
from sprnnc.export.folder import write_folder
from sprnnc.export.library_form import library_files
from sprnnc.export.source_form import source_files

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.sprnn"))
MOST_DIFFERENCE = 0.02


@dataclass(frozen=True, slots=True)
class Row:
    """What one cell gave: median microseconds a step of both, and what is wrong."""

    cell: str
    dtype: str
    equal: bool
    c_us: float
    python_us: float
    errors: tuple[str, ...]

    @property
    def difference(self) -> float:
        """The time of C over that of Python, less one."""
        return self.c_us / self.python_us - 1

    @property
    def passed(self) -> bool:
        return self.equal and not self.errors and abs(self.difference) <= MOST_DIFFERENCE


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=21)
    args = parser.parse_args()
    try:
        target()
    except RuntimeError as error:
        sys.exit(f"no GPU driver here: {error}")
    args.out.mkdir(parents=True, exist_ok=True)
    rows = []
    for path in EXAMPLES:
        for dtype in ("fp32", "fp16"):
            rows.append(check(path, dtype, args.out / f"{path.stem}_{dtype}", args.steps, args.repeats))
            print(shown(rows[-1]), flush=True)
    table = [{**asdict(r), "difference": r.difference, "passed": r.passed} for r in rows]
    (args.out / "export.json").write_text(json.dumps(table, indent=1) + "\n")
    return 0 if all(r.passed for r in rows) else 1


def shown(row: Row) -> str:
    verdict = "pass" if row.passed else "FAIL"
    times = f"C {row.c_us:.3f} us, Python {row.python_us:.3f} us a step ({row.difference:+.1%})"
    return "; ".join([f"{row.cell} {row.dtype}: {verdict}", f"equal {row.equal}", times, *row.errors])


def check(path: Path, dtype: str, folder: Path, steps: int, repeats: int) -> Row:
    """Compiles, exports in all forms, builds, runs and times one cell."""
    artifact = sprnnc.compile(path, random_weights=7, batch=4, target=target(), dtype=dtype)
    name = artifact.manifest.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write_folder(folder / "cu", source_files(artifact, embed=False))
    write_folder(folder / "lib", library_files(artifact, embed=True))
    write_folder(folder / "cubin", cubin_files(artifact, embed=False))
    make = [
        ["make", "-C", str(folder / "cu"), "check"],
        ["make", "-C", str(folder / "lib/examples"), f"CUDA={cuda()}", "check"],
        ["make", "-C", str(folder / "cubin"), f"CUDA={cuda()}", "check"],
    ]
    errors = [e for e in map(failure, make) if e]
    if errors:
        return Row(path.stem, dtype, False, float("nan"), float("nan"), tuple(errors))
    x = np.random.default_rng(5).standard_normal((steps, 4, artifact.manifest.input_size)).astype(np.float32)
    with open_layer(artifact.loaded(), "cuda") as layer:
        equal = same_output(layer, x, folder / "cu", name)
        c, python = times(layer, x, folder / "cu", name, repeats)
    return Row(path.stem, dtype, equal, c, python, ())


def failure(command: list[str]) -> str:
    """The last lines of a command that failed; empty if it did not."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else f"{' '.join(command)}: {(done.stdout + done.stderr)[-800:]}"


def same_output(layer: Layer, x: np.ndarray[Any, Any], folder: Path, name: str) -> bool:
    """Whether the program writes the very bits that the runtime returns."""
    x.tofile(folder / "x.bin")
    subprocess.run([f"./{name}_test", "x.bin", "y.bin"], cwd=folder, check=True)
    y, _ = layer(x)
    return (folder / "y.bin").read_bytes() == y.tobytes()


def times(
    layer: Layer, x: np.ndarray[Any, Any], folder: Path, name: str, repeats: int
) -> tuple[float, float]:
    """Median microseconds a step of C and of Python, in turns: the clock of a GPU wanders."""
    c: list[float] = []
    python: list[float] = []
    for _ in range(3):
        command = [f"./{name}_test", "--time", str(len(x)), str(repeats)]
        printed = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout
        c += map(float, printed.split())
        python += layer.time_us(x, repeats)
    return statistics.median(c), statistics.median(python)


def target() -> str:
    """The target of the GPU at hand."""
    from cuda.bindings import driver

    driver.cuInit(0)
    kind = driver.CUdevice_attribute
    major = driver.cuDeviceGetAttribute(kind.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, 0)[1]
    minor = driver.cuDeviceGetAttribute(kind.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, 0)[1]
    return f"sm_{major}{minor}"


def cuda() -> str:
    """The folder of the CUDA toolkit."""
    return os.environ.get("CUDA_HOME", "/usr/local/cuda")


if __name__ == "__main__":
    sys.exit(main())
