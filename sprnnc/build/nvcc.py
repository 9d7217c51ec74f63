"""CUDA C -> shared library, by nvcc: machine code for several architectures, and PTX for newer ones."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from sprnnc.diagnostics import CompileError, InternalError, fail

_FLAGS = ("-std=c++17", "-O3", "-Werror", "all-warnings", "-Xcompiler", "-fPIC,-Wall,-Wextra,-Werror")
_SECONDS = 1800


def build_library(files: Mapping[str, bytes], source: str, name: str, archs: Sequence[str]) -> bytes:
    """The bytes of ``libNAME.so`` from ``source`` among ``files``, for the first of ``archs`` and the others
    that nvcc knows; PTX of the first serves what is newer.

    Raises CompileError E509 where there is no nvcc that works; InternalError with its text where it refuses
    the source, which is never the user's fault.
    """
    nvcc = _nvcc()
    known = _run([nvcc, "--list-gpu-code"], None).stdout.split()
    wanted = [archs[0], *(a for a in archs[1:] if a in known)]
    library = f"lib{name}.so"
    command = [nvcc, *_FLAGS, "-shared", "-cudart", "shared", "-Xlinker", f"-soname,{library}"]
    command += [f"-gencode=arch={a.replace('sm_', 'compute_')},code={a}" for a in wanted]
    oldest = archs[0].replace("sm_", "compute_")
    command += [f"-gencode=arch={oldest},code={oldest}", source, "-o", library]
    with tempfile.TemporaryDirectory() as scratch:
        for path, data in files.items():
            Path(scratch, path).write_bytes(data)
        done = _run(command, Path(scratch))
        if done.returncode:
            raise InternalError("build", f"nvcc refused the exported source:\n{done.stdout}{done.stderr}")
        return Path(scratch, library).read_bytes()


def _nvcc() -> str:
    wanted = os.environ.get("NVCC") or "nvcc"
    found = shutil.which(wanted)
    if found is None:
        raise _unusable(f"there is no {wanted}")
    done = _run([found, "--version"], None)
    if done.returncode:
        raise _unusable(f"{found} does not work: {done.stderr.strip()[:400]}")
    return found


def _run(command: Sequence[str], folder: Path | None) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            cwd=folder,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _unusable(f"{command[0]} does not work: {error}") from error


def _unusable(why: str) -> CompileError:
    return fail(
        "E509",
        f"a library needs nvcc of CUDA 13: {why}",
        help="put nvcc into PATH or name it in NVCC; or export with --form cu, and build that elsewhere",
    )
