"""The script for a GPU machine, with a Python that only writes down how it was called."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from examples.charlm.demo import MODEL

SCRIPT = Path(__file__).parents[2] / "examples" / "charlm" / "gpu.sh"
PLAYED = """#!/usr/bin/env bash
ls sprnnc/grammar sprnnc/templates sprnn_runtime examples/charlm benchmarks >/dev/null || exit 9
echo "$PYTHONPATH|$*" >>"$CALLS"
case "$*" in *1024*) exit "${LARGE:-0}" ;; esac
"""


@pytest.mark.parametrize(("large", "status"), [("0", 0), ("3", 3)])
def test_both_trainings_run_from_a_copy_that_can_be_imported(tmp_path: Path, large: str, status: int) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "python3").write_text(PLAYED)
    (programs / "python3").chmod(0o755)
    (tmp_path / "peers.so").touch()
    work, out, calls = tmp_path / "work", tmp_path / "out", tmp_path / "calls"
    environment = {"PATH": f"{programs}:{os.environ['PATH']}", "CALLS": str(calls), "LARGE": large}
    done = subprocess.run(
        [str(SCRIPT), str(out), "abc", str(tmp_path / "peers.so")],
        env=os.environ | environment | {"SPRNNC_CHARLM_WORK": str(work)}, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == status
    first, second = calls.read_text().splitlines()
    assert first.startswith(f"{work}:")
    assert f"--hidden 1024 --output {out}/h200.json --peers {tmp_path}/peers.so" in first
    assert f"--output {out}/demo.json --save {out}/{MODEL.name}" in second
    limits = [int(call.split("--time-limit ")[1].split()[0]) for call in (first, second)]
    assert sum(limits) < 8 * 60
