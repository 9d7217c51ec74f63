"""Compiles CUDA C for the CPU: g++ against ``device/cuda_on_cpu.hpp``, cached by everything that goes in.

A file of the cache is a shared library, and behind it, where loaders do not look, a seal: what its
kernels take of a stack, and a checksum. A file without a good seal is built again.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path

from sprnn_runtime.errors import SprnnError, Unavailable

WRONG_ARGUMENTS = 2  # what the entry point returns for a call that it cannot make
_FLAGS = ("-std=c++17", "-O1", "-shared", "-fPIC", "-w", "-ffp-contract=off", "-fstack-usage")
_LIBRARIES = ("-lrt",)  # timers, before glibc 2.34
_HEADERS = ("cuda_on_cpu.hpp", "fibers.hpp", "watchdog.hpp")
_SEAL = struct.Struct("<Q32s")
_COMPILE_SECONDS = 900


def build(
    source: str, kernels: Sequence[str], folder: Path, defines: Sequence[str]
) -> tuple[ctypes.CDLL, int]:
    """The library of ``source``, and the bytes that its functions keep on a stack: at most, all together.

    Raises Unavailable E503 without a g++ that works or a folder to build in, SprnnError E504 with
    g++'s text if the source does not compile.
    """
    unit = _unit(source, kernels)
    compiler = _compiler()
    headers = {name: _device_file(name) for name in _HEADERS}
    flags = (*_FLAGS, *(f"-D{d}" for d in defines))
    key = hashlib.sha256(
        "\0".join([unit, *headers.values(), *flags, _version(compiler)]).encode()
    ).hexdigest()
    library = folder / f"sim-{key[:40]}.so"
    try:
        loaded = _load(library)
        if loaded is None:
            _compile(compiler, flags, {**headers, "unit.cpp": unit}, library)
            loaded = _load(library)
    except OSError as error:
        raise Unavailable(
            "E503", f"device sim cannot build in {folder}: {error}", "set SPRNNC_CACHE to a folder of yours"
        ) from error
    if loaded is None:
        raise Unavailable("E503", f"device sim cannot load {library}", "set SPRNNC_CACHE to another folder")
    return loaded


def _load(library: Path) -> tuple[ctypes.CDLL, int] | None:
    """The library and its stack bytes; None where it is not there, or not as it was written."""
    try:
        data = library.read_bytes()
        frame_bytes, digest = _SEAL.unpack(data[-_SEAL.size :])
        if hashlib.sha256(data[: -_SEAL.size]).digest() != digest:
            return None
        return ctypes.CDLL(str(library)), frame_bytes
    except (OSError, struct.error):
        return None


def _sealed(library: bytes, usage: str) -> bytes:
    """``library`` with its seal. ``usage`` is what -fstack-usage wrote: place, bytes, kind on every line."""
    frame_bytes = sum(int(line.split("\t")[1]) for line in usage.splitlines() if line.count("\t") >= 2)
    return library + _SEAL.pack(frame_bytes, hashlib.sha256(library).digest())


def _unit(source: str, kernels: Sequence[str]) -> str:
    """One translation unit: the headers, the kernels, and an entry point that launches one by number."""
    cases = "\n".join(
        f"    case {i}:\n"
        f"      if (count != sprnn_sim::arity({k})) return {WRONG_ARGUMENTS};\n"
        f"      kernel = sprnn_sim::bind({k}, args);\n"
        f"      break;"
        for i, k in enumerate(kernels)
    )
    return f"""#define SPRNN_SIM 1
#include "cuda_on_cpu.hpp"
#line 1 "kernel.cu"
{source}
#line 1 "launch.cpp"
extern "C" int sprnn_sim_launch(int index, int count, unsigned grid, unsigned threads, size_t shared_bytes,
                                void** args, unsigned seed, unsigned deadlock_rounds, unsigned store_delay,
                                size_t frame_bytes, double limit_seconds, char* report, size_t report_bytes,
                                uint64_t* statistics) {{
  std::function<void()> kernel;
  switch (index) {{
{cases}
    default: return {WRONG_ARGUMENTS};
  }}
  const sprnn_sim::Options options = {{seed, deadlock_rounds, store_delay, frame_bytes, limit_seconds}};
  const std::string why = sprnn_sim::launch(kernel, grid, threads, shared_bytes, options, statistics);
  std::snprintf(report, report_bytes, "%s", why.c_str());
  return !why.empty();
}}
"""


def _compile(compiler: str, flags: Sequence[str], files: Mapping[str, str], library: Path) -> None:
    """Compiles ``unit.cpp`` of ``files`` to ``library``, which appears whole or not at all."""
    library.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=library.parent) as scratch:
        for name, text in files.items():
            Path(scratch, name).write_text(text, encoding="utf-8")
        done = _run([compiler, *flags, "unit.cpp", "-o", "unit.so", *_LIBRARIES], Path(scratch))
        if done.returncode:
            if (full := os.strerror(errno.ENOSPC)) in done.stderr:
                raise OSError(errno.ENOSPC, full)
            _require_working(compiler, flags, Path(scratch))
            raise SprnnError("E504", f"g++ refused the kernel:\n{done.stderr[:4000]}")
        made = Path(scratch, "unit.so")
        usage = "".join(f.read_text(encoding="utf-8") for f in Path(scratch).glob("*.su"))
        made.write_bytes(_sealed(made.read_bytes(), usage))
        os.replace(made, library)


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


def cache_folder() -> Path:
    """``$SPRNNC_CACHE``, or ``sprnnc`` in the user's cache folder."""
    if chosen := os.environ.get("SPRNNC_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sprnnc"
