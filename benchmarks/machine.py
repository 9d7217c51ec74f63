"""What a result must say about where it was measured."""

from __future__ import annotations

import subprocess
from importlib import metadata
from pathlib import Path

_PACKAGES = ("nvidia-cudnn-cu13", "nvidia-cublas", "nvidia-cusparse", "torch", "flashrnn")


def describe_machine(commit: str) -> tuple[str, str, dict[str, str]]:
    """The GPU's name, the commit (of this checkout where none is given), and versions of what ran."""
    return gpu_name(), commit or _head(), _versions()


def gpu_name() -> str:
    """The first GPU's name. Ends the program where there is none."""
    from cuda.bindings import driver

    try:
        status = int(driver.cuInit(0)[0])
    except RuntimeError as error:  # the driver library is not there
        raise SystemExit(f"no GPU: {error}") from error
    if status != 0:
        raise SystemExit(f"no GPU: cuInit returned {status}")
    return str(driver.cuDeviceGetName(80, 0)[1].split(b"\0")[0].decode())


def _head() -> str:
    """Empty outside of a checkout."""
    try:
        command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def _versions() -> dict[str, str]:
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions
