"""The script of a GPU check, with programs that only write down how they were called."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "benchmarks" / "gpu_check.sh"
# Every program is this one; the modules of the benchmarks and pytest are told apart by their arguments.
PLAYED = """#!/usr/bin/env bash
echo "$(basename "$0") $*" >>"$CALLS"
case "$*" in
  *peers.build*) touch "${@: -1}" ;;
  *exchange_floor.cu*) cp "$0" exchange_floor ;;
  *pytest*) exit "${TESTS:-0}" ;;
esac
"""


@pytest.fixture
def check(tmp_path):
    """Runs the script; returns its exit status, what it printed and the calls."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("python3", "nvcc", "compute-sanitizer"):
        (programs / name).write_text(PLAYED)
        (programs / name).chmod(0o755)
    (tmp_path / "weights.npz").touch()

    def run(**variables: str) -> tuple[int, str, list[str]]:
        calls = tmp_path / "calls"
        calls.unlink(missing_ok=True)
        environment = os.environ | {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "CALLS": str(calls),
            "SPRNNC_CHECK_WORK": str(tmp_path / "work"),
        }
        done = subprocess.run(
            [str(SCRIPT), str(tmp_path / "out"), "abc", str(tmp_path / "weights.npz")],
            env=environment | variables, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr, calls.read_text().splitlines()

    return run


def place(calls: list[str], *words: str) -> int:
    return next(i for i, call in enumerate(calls) if all(word in call for word in words))


def test_stages_come_in_their_order_with_their_limits(check):
    status, printed, calls = check()
    assert (status, "tests 0 memcheck 0" in printed) == (0, True)
    order = [
        ("exchange_floor ",),
        ("benchmarks.bench", "--group acceptance", "--time-limit 150"),
        ("benchmarks.bench", "--group ablation", "--no-peers", "--time-limit 60"),
        ("benchmarks.tenfold", "--resume --time-limit 60"),
        ("benchmarks.first_light", "weights.npz", "--floors"),
        ("benchmarks.bench", "--group density --group size --group batch --group layer", "--time-limit 200"),
        ("benchmarks.bench", "--group flashrnn", "--flashrnn --flashrnn-seconds"),
        ("benchmarks.report",),
    ]
    places = [place(calls, *words) for words in order]
    assert places == sorted(places)
    for words in (["tests/gpu"], ["memcheck.py"], ["compile_cases"], ["flashrnn_build"], ["--prepare-only"]):
        assert place(calls, *words) < places[0]
    timed = [call for call in calls if "--time-limit" in call and "benchmarks.bench" in call]
    assert all("--library peers.so" in call and "--floors" in call and "--resume" in call for call in timed)


def test_a_second_run_repeats_no_tests_that_passed(check):
    check()
    status, _, calls = check()
    assert status == 0
    assert not [c for c in calls if "tests/gpu" in c or "memcheck.py" in c or "peers.build" in c]
    assert place(calls, "--group acceptance") > 0


def test_tests_that_failed_are_repeated_and_stop_no_measurement(check):
    status, printed, calls = check(TESTS="1")
    assert (status, "tests 1" in printed) == (1, True)
    assert place(calls, "--group flashrnn", "benchmarks.bench") > 0
    assert any("tests/gpu" in call for call in check()[2])


def test_nothing_begins_when_no_time_is_left(check):
    status, printed, calls = check(SPRNNC_CHECK_SECONDS="5")
    assert status == 1
    assert printed.count("no time left, run again for") == 10
    assert [call for call in calls if "benchmarks." in call and "report" not in call] == []
