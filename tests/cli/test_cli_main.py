"""What all commands share: help, version, usage errors and exit codes."""

from __future__ import annotations

import errno
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sprnnc.cell import weights
from sprnnc.cli.main import COMMANDS
from sprnnc.diagnostics import InternalError
from sprnnc.version import VERSION


def test_version(sprnnc):
    assert sprnnc("--version").out == f"sprnnc {VERSION}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command_shows_an_example(sprnnc, command):
    result = sprnnc(command, "--help")
    assert result.code == 0
    assert f"examples:\n  sprnnc {command} " in result.out


def test_help_lists_every_command_and_the_exit_codes(sprnnc):
    out = sprnnc("--help").out
    assert all(f"    {name} " in out for name in COMMANDS)
    assert "exit codes: 0 done" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: COMMAND"),
        (["frobnicate"], "invalid choice: 'frobnicate'"),
        (["check"], "required: FILE"),
        (["check", "tiny.sprnn", "--size", "H"], "'H': expected NAME=N"),
        (["check", "tiny.sprnn", "--size", "H=big"], "'big' is not a whole number"),
        (["check", "tiny.sprnn", "--dtype", "fp8"], "invalid choice: 'fp8'"),
        (["compile", "tiny.sprnn", "--set", "=4"], "'=4': expected NAME=VALUE"),
        (["compile", "tiny.sprnn", "--random-weights", "-1"], "'-1' is not a seed"),
        (["compile", "tiny.sprnn", "--emit", "ptx"], "invalid choice: 'ptx'"),
        (["run", "a.sprnnx", "--device", "tpu"], "invalid choice: 'tpu'"),
        (["run", "a.sprnnx", "--input", "x.npy", "--steps", "3"], "not allowed with argument"),
    ],
)
def test_wrong_usage_exits_2(sprnnc, arguments, message):
    result = sprnnc(*arguments)
    assert result.code == 2
    assert message in result.err
    assert result.out == ""


@pytest.mark.parametrize("defect", [InternalError("layout", "a row is lost"), ZeroDivisionError("oops")])
def test_a_defect_exits_70_and_asks_for_a_report(sprnnc, monkeypatch, defect):
    def explode(args):
        raise defect

    monkeypatch.setattr(COMMANDS["check"], "run", explode)
    result = sprnnc("check", "tiny.sprnn")
    assert result.code == 70
    assert str(defect) in result.err
    assert "please report it" in result.err


def test_an_interrupt_exits_130_without_a_traceback(sprnnc, monkeypatch):
    def interrupt(args):
        raise KeyboardInterrupt

    monkeypatch.setattr(COMMANDS["check"], "run", interrupt)
    result = sprnnc("check", "tiny.sprnn")
    assert (result.code, result.err) == (130, "interrupted\n")


def test_too_large_a_size_is_the_users_error(sprnnc):
    """10**16 weights fit no machine."""
    sizes = ("--size", "H=100000000", "--size", "I=100000000")
    result = sprnnc("compile", "tiny.sprnn", "--random-weights", "0", *sizes)
    assert result.code == 1
    assert "error[E4" in result.err
    assert "Traceback" not in result.err


@pytest.mark.parametrize("command", ["check", "compile"])
def test_a_size_that_no_kernel_counts_is_refused(sprnnc, command):
    result = sprnnc(command, "tiny.sprnn", "--size", f"I={10**30}")
    assert result.code == 1
    assert "error[E211]: size I = 1" in result.err and "from 1 to 2147483647" in result.err


def test_weights_that_fit_no_memory_are_refused_before_they_are_drawn(sprnnc, monkeypatch):
    monkeypatch.setattr(weights, "memory_bytes", lambda: 1 << 30)
    result = sprnnc("compile", "tiny.sprnn", "--random-weights", "0", "--size", "I=2000000000")
    assert result.code == 1 and "error[E406]" in result.err
    fitting = int(re.search(r"I is 2000000000: up to (\d+) would fit", result.err)[1])
    # W[8, I] is the larger weight: its values, and what drawing it takes
    assert 0 <= (1 << 30) - (20 * 8 * fitting + 4 * 8 * 8) < 20 * 8


def test_steps_that_fit_no_memory_are_refused(sprnnc, artifact):
    result = sprnnc("run", artifact, "--steps", str(10**30))
    assert result.code == 1
    assert "error[E406]" in result.err and re.search(r"up to \d+ steps would", result.err)


def test_a_reader_that_leaves_early_is_no_defect(artifact: Path):
    """The module is run as ``python -m sprnnc``, with a pipe that nobody reads."""
    process = subprocess.Popen(
        [sys.executable, "-m", "sprnnc", "explain", artifact], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 141


def test_a_full_disk_under_stdout_is_reported(artifact: Path):
    with open("/dev/full", "w") as full:
        result = subprocess.run(
            [sys.executable, "-m", "sprnnc", "explain", artifact], stdout=full, stderr=subprocess.PIPE
        )
    assert result.returncode == 1
    assert result.stderr.startswith(b"error[E605]: cannot write the output")


def test_not_every_refusal_of_the_system_is_about_the_output(sprnnc, monkeypatch):
    def refused(args):
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory")

    monkeypatch.setattr(COMMANDS["check"], "run", refused)
    result = sprnnc("check", "tiny.sprnn")
    assert result.code == 1
    assert result.err.startswith("error[E619]") and "temporary directory" in result.err
