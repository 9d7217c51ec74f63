"""Pass 8, CUDA C -> cubin + resource report. NVRTC needs no GPU."""

from __future__ import annotations

import io
import os
import re
from dataclasses import dataclass
from typing import Any

from sprnnc.diagnostics import CompileError, InternalError, fail

# no_cache: a hit in NVRTC's own cache prints no log, and the log alone tells of spills.
_OPTIONS: dict[str, Any] = {"std": "c++17", "ptxas_options": ["-v"], "no_cache": True}


@dataclass(frozen=True, slots=True)
class Resources:
    """What ptxas reports of one kernel; ``shared_bytes`` is static shared memory only."""

    registers: int
    shared_bytes: int
    stack_bytes: int
    spill_bytes: int


@dataclass(frozen=True, slots=True)
class Cubin:
    """Machine code for one architecture and the resources of each kernel in it."""

    arch: str
    code: bytes
    resources: dict[str, Resources]


def identity() -> str:
    """Which NVRTC ``build_cubin`` uses, and how: other code may come out where this differs.

    Raises CompileError E501 where NVRTC is not installed.
    """
    try:
        from cuda.bindings import nvrtc
        from cuda.pathfinder import load_nvidia_dynamic_lib

        library = load_nvidia_dynamic_lib("nvrtc").abs_path
        version = nvrtc.nvrtcVersion()[1:]
    except (ImportError, RuntimeError) as error:
        raise _unavailable(error) from error
    status = os.stat(library) if library and os.path.exists(library) else None
    changed = (status.st_size, status.st_mtime_ns) if status else None
    return repr((version, library, changed, _OPTIONS))


def build_cubin(source: str, arch: str) -> Cubin:
    """Compiles ``source`` for ``arch`` (``sm_90``).

    Raises CompileError E501 where NVRTC is not installed; InternalError with NVRTC's log where
    the generated source does not compile, which is never the user's fault.
    """
    try:
        from cuda.core import Program, ProgramOptions
    except (ImportError, RuntimeError) as error:
        raise _unavailable(error) from error
    log = io.StringIO()
    options = ProgramOptions(arch=arch, name="kernel.cu", **_OPTIONS)
    try:
        code = Program(source, "c++", options).compile("cubin", logs=log).code
    except Exception as error:  # NVRTC's errors have no class of their own across versions
        if "libnvrtc" in str(error):
            raise _unavailable(error) from error
        raise InternalError(
            "build", f"NVRTC refused the generated source:\n{error}\n{log.getvalue()}"
        ) from error
    return Cubin(arch, bytes(code), parse_resources(log.getvalue()))


def _unavailable(error: Exception) -> CompileError:
    return fail(
        "E501",
        f"NVRTC is not available: {error}",
        help="pip install cuda-core 'nvidia-cuda-nvrtc==13.*', or compile with --target sim",
    )


_FUNCTION = re.compile(r"Function properties for (\w+)|Compiling entry function '(\w+)'")
_STACK = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
_USED = re.compile(r"Used (\d+) registers(?:.*?(\d+) bytes smem)?")


def parse_resources(log: str) -> dict[str, Resources]:
    """Resources by kernel from the text that ``ptxas -v`` prints."""
    found: dict[str, dict[str, int]] = {}
    kernel = ""
    for line in log.splitlines():
        if match := _FUNCTION.search(line):
            kernel = match[1] or match[2]
        numbers = found.setdefault(kernel, {})
        if match := _STACK.search(line):
            numbers["stack"] = int(match[1])
            numbers["spill"] = int(match[2]) + int(match[3])
        if match := _USED.search(line):
            numbers["registers"] = int(match[1])
            numbers["shared"] = int(match[2] or 0)
    return {
        name: Resources(n["registers"], n.get("shared", 0), n.get("stack", 0), n.get("spill", 0))
        for name, n in found.items()
        if "registers" in n
    }
