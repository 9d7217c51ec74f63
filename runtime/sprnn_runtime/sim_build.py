"""Compiles CUDA C for the CPU: g++ against ``device/cuda_on_cpu.hpp``, kept by ``build_cache``."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib import resources
from pathlib import Path

from sprnn_runtime.build_cache import Build, BuildCache, key_of
from sprnn_runtime.errors import SprnnError, Unavailable

WRONG_ARGUMENTS = 2  # what the entry point returns for a call that it cannot make
_FLAGS = ("-std=c++17", "-O1", "-shared", "-fPIC", "-w", "-ffp-contract=off", "-fstack-usage")
_LIBRARIES = ("-lrt",)  # timers, before glibc 2.34
_HEADERS = ("cuda_on_cpu.hpp", "fibers.hpp", "watchdog.hpp")
_COMPILE_SECONDS = 900


def build(
    source: str, kernels: Sequence[str], builds: BuildCache, defines: Sequence[str]
) -> tuple[ctypes.CDLL, int]:
    """The library of ``source``, and the bytes that its functions keep on a stack: at most, all together.

    Raises Unavailable E503 without a g++ that works or a folder to build in, SprnnError E504 with
    g++'s text if the source does not compile.
    """
    unit = _unit(source, kernels)
    compiler = _compiler()
    headers = {name: _device_file(name) for name in _HEADERS}
    flags = (*_FLAGS, *(f"-D{d}" for d in defines))
    key = key_of(unit, *headers.values(), *flags, _version(compiler), os.uname().machine)
    files = {**headers, "unit.cpp": unit}
    try:
        built = builds.fetch("sim", key, ".so", lambda: _compile(compiler, flags, files))
        return _load(built), int(built.note)
    except OSError as error:
        where = tempfile.gettempdir()
        raise Unavailable(
            "E503", f"device sim cannot build in {where}: {error}", "set TMPDIR to a folder of yours"
        ) from error


def _load(built: Build) -> ctypes.CDLL:
    """From where it is kept, or from a copy of its own: it may not be kept, or not any more."""
    if built.path is not None:
        with suppress(OSError):
            return ctypes.CDLL(str(built.path))
    with tempfile.TemporaryDirectory() as scratch:
        library = Path(scratch, "unit.so")
        library.write_bytes(built.code)
        return ctypes.CDLL(str(library))


def _unit(source: str, kernels: Sequence[str]) -> str:
    """One translation unit: the headers, the kernels, and an entry point that launches one by number."""
    cases = "\n".join(
        f"    case {i}:\n"
        f"      if (count != sprnn_sim::arity({k})) return {WRONG_ARGUMENTS};\n"
        f"      for (int d = 0; d < devices; ++d)\n"
        f"        kernels.push_back(sprnn_sim::bind({k}, args + d * count));\n"
        f"      break;"
        for i, k in enumerate(kernels)
    )
    return f"""#define SPRNN_SIM 1
#include "cuda_on_cpu.hpp"
#line 1 "kernel.cu"
{source}
#line 1 "launch.cpp"
extern "C" int sprnn_sim_launch(int index, int count, int devices, unsigned grid, unsigned threads,
                                size_t shared_bytes, void** args, unsigned seed, unsigned deadlock_rounds,
                                unsigned store_delay, size_t frame_bytes, double limit_seconds, char* report,
                                size_t report_bytes, uint64_t* statistics) {{
  std::vector<std::function<void()>> kernels;
  switch (index) {{
{cases}
    default: return {WRONG_ARGUMENTS};
  }}
  const sprnn_sim::Options options = {{seed, deadlock_rounds, store_delay, frame_bytes, limit_seconds}};
  const std::string why = sprnn_sim::launch(kernels, grid, threads, shared_bytes, options, statistics);
  std::snprintf(report, report_bytes, "%s", why.c_str());
  return !why.empty();
}}
"""


def _compile(compiler: str, flags: Sequence[str], files: Mapping[str, str]) -> Build:
    """Compiles ``unit.cpp`` of ``files``; the note is the bytes that its functions keep on a stack."""
    with tempfile.TemporaryDirectory() as scratch:
        for name, text in files.items():
            Path(scratch, name).write_text(text, encoding="utf-8")
        done = _run([compiler, *flags, "unit.cpp", "-o", "unit.so", *_LIBRARIES], Path(scratch))
        if done.returncode:
            if (full := os.strerror(errno.ENOSPC)) in done.stderr:
                raise OSError(errno.ENOSPC, full)
            _require_working(compiler, flags, Path(scratch))
            raise SprnnError("E504", f"g++ refused the kernel:\n{done.stderr[:4000]}")
        usage = "".join(f.read_text(encoding="utf-8") for f in Path(scratch).glob("*.su"))
        return Build(Path(scratch, "unit.so").read_bytes(), str(_stack_bytes(usage)).encode())


def _stack_bytes(usage: str) -> int:
    """``usage`` is what -fstack-usage wrote: place, bytes, kind on every line."""
    return sum(int(line.split("\t")[1]) for line in usage.splitlines() if line.count("\t") >= 2)


def _require_working(compiler: str, flags: Sequence[str], scratch: Path) -> None:
    """Raises Unavailable E503 where not even an empty program compiles."""
    (scratch / "empty.cpp").write_text("#include <vector>\n", encoding="utf-8")
    done = _run([compiler, *flags, "empty.cpp", "-o", "empty.so", *_LIBRARIES], scratch)
    if done.returncode:
        raise _broken(compiler, done.stderr)


def _run(command: Sequence[str], folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            cwd=folder,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_COMPILE_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _broken(command[0], str(error)) from error


def _broken(compiler: str, why: str) -> Unavailable:
    first = next((line for line in why.splitlines() if line.strip()), "it says nothing")
    return Unavailable(
        "E503", f"device sim needs g++, and {compiler} does not work: {first}", "install g++ with C++17"
    )


def _compiler() -> str:
    compiler = shutil.which("g++")
    if compiler is None:
        raise Unavailable(
            "E503", "device sim needs g++, and there is none", "install g++ (Debian: apt-get install g++)"
        )
    return compiler


@cache
def _version(compiler: str) -> str:
    done = _run([compiler, "--version"])
    if done.returncode:
        raise _broken(compiler, done.stderr)
    return done.stdout


@cache
def _device_file(name: str) -> str:
    return resources.files("sprnn_runtime.device").joinpath(name).read_text(encoding="utf-8")
