"""Compiles the CUDA peers into one shared library, against the libraries' Python wheels.

    python -m benchmarks.peers.build OUT.so

Nothing but nvcc, the wheels and a host compiler is needed; no GPU.
"""

from __future__ import annotations

import argparse
import importlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent
SOURCES = ("cudnn.cu", "cublas_graph.cu", "cusparse_graph.cu")
# Folders of wheels below "nvidia": CUDA 13's share one, cuDNN has its own; older wheels have one each.
_WHEELS = ("cudnn", "cu13", "cublas", "cusparse", "nvjitlink")
_PACKAGES = ("nvidia-cudnn-cu13", "nvidia-cublas", "nvidia-cusparse")
_LIBRARIES = ("cudnn", "cublas", "cusparse")
_WARNINGS = ("-Xcompiler", "-fPIC,-Wall,-Wextra", "--Werror", "all-warnings")


class BuildError(Exception):
    """What is missing, or what the compiler said."""


def build(output: Path, arch: str = "sm_90", wheels: Iterable[Path] | None = None) -> Path:
    """Writes ``output`` and returns it. Raises BuildError.

    ``wheels``: folders that hold ``include`` and ``lib``; by default those of the installed wheels.
    """
    nvcc = find_nvcc()
    folders = list(wheels) if wheels is not None else installed_wheels()
    includes = [flag for f in folders for flag in ("-isystem", str(f / "include"))]
    code = f"arch={arch.replace('sm_', 'compute_')},code={arch}"
    common = [nvcc, "-O3", "-std=c++17", "-gencode", code, *_WARNINGS]
    output = output.resolve()
    output.parent.mkdir(parents=True, exist_ok=True)
    objects = [output.parent / f"{Path(source).stem}.o" for source in SOURCES]

    def compile_one(source: str, target: Path) -> None:
        _run([*common, *includes, "-c", str(HERE / source), "-o", str(target)])

    with ThreadPoolExecutor() as pool:
        list(pool.map(compile_one, SOURCES, objects))
    _run([*common, "-shared", *map(str, objects), *_link_flags(folders), "-o", str(output)])
    return output


def find_nvcc() -> str:
    """The compiler's path: on PATH, or in the toolkit that CUDA_HOME or /usr/local/cuda names."""
    home = os.environ.get("CUDA_HOME", "/usr/local/cuda")
    found = shutil.which("nvcc") or shutil.which("nvcc", path=f"{home}/bin")
    if found is None:
        raise BuildError("no nvcc on PATH nor in CUDA_HOME")
    return found


def installed_wheels() -> list[Path]:
    """Folders of the installed NVIDIA wheels that hold headers or libraries, without importing them."""
    try:
        roots = [Path(p) for p in importlib.import_module("nvidia").__path__]
    except ImportError:
        raise BuildError(f"no NVIDIA wheels: pip install {' '.join(_PACKAGES)}") from None
    candidates = [root / name for root in roots for name in _WHEELS]
    return [c for c in candidates if (c / "lib").is_dir()]


def _link_flags(folders: Iterable[Path]) -> list[str]:
    """Names every library by its file, for wheels hold no links without a version."""
    flags: list[str] = []
    places = [f / "lib" for f in folders]
    for name in _LIBRARIES:
        place, file = _find_library(name, places)
        flags += ["-L", str(place), f"-l:{file}"]
    for place in places:
        flags += ["-Xlinker", f"-rpath={place}"]
    return flags


def _find_library(name: str, places: Iterable[Path]) -> tuple[Path, str]:
    pattern = re.compile(rf"lib{name}\.so(\.\d+)?")
    for place in places:
        files = sorted(f.name for f in place.glob(f"lib{name}.so*") if pattern.fullmatch(f.name))
        if files:
            return place, files[-1]
    raise BuildError(f"no lib{name}.so in the NVIDIA wheels: pip install nvidia-{name}")


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise BuildError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Compiles the CUDA peers into one shared library.")
    parser.add_argument("output", type=Path)
    parser.add_argument("--arch", default="sm_90")
    parser.add_argument("--wheels", type=Path, nargs="*", help="folders with include and lib")
    options = parser.parse_args()
    print(build(options.output, options.arch, options.wheels))


if __name__ == "__main__":
    main()
