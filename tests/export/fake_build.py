"""Builds exported sources with g++ against ``fake_cuda``, and runs them."""

from __future__ import annotations

import os
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import Any

import sprnnc

HERE = Path(__file__).parent
EXAMPLES = HERE.parents[1] / "examples"
RING = HERE.parent / "runtime/kept/ring.sprnn"  # one kernel, no product of inputs: quick in the simulator
SIZES = {"I": 10, "H": 40}
WITHOUT_PRODUCTS = """\
cell Leaky(I) {
  input  x[I]
  state  h[I]
  h' = 0.5 * h + x
  output h'
}

model leaky {
  layer main = Leaky(I=8)
}
"""


def compile_cell(
    cell: str, *, target: str = "sm_90", batch: int = 2, dtype: str | None = None, **schedule: Any
) -> sprnnc.Artifact:
    """An example for a GPU, small enough for the simulator."""
    return sprnnc.compile(
        EXAMPLES / f"{cell}.sprnn",
        random_weights=3,
        batch=batch,
        target=target,
        dtype=dtype,
        sizes=SIZES if cell == "lstm" else None,
        schedule={"blocks": 2, "threads": 64, **schedule},
    )


def build(folder: Path, *sources: str, program: str = "t", header: str = "cuda_runtime.h") -> Path:
    """``folder/program`` of the C++ sources in ``folder``."""
    command = ["g++", "-std=c++17", "-O1", "-w", "-ffp-contract=off", "-DSPRNN_SIM=1"]
    command += ["-I", str(HERE / "fake_cuda"), "-I", str(files("sprnn_runtime.device")), "-I", "."]
    command += ["-include", header, "-x", "c++", *sources, "-o", program, "-lrt"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / program


def run(folder: Path, *arguments: object, program: str = "t", **environment: object) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of ``folder/program``."""
    done = subprocess.run(
        [f"./{program}", *map(str, arguments)],
        cwd=folder,
        env={**os.environ, **{k: str(v) for k, v in environment.items()}},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr
