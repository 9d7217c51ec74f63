"""``sprnnc bench``: times an artifact on the GPU."""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import sprnn_runtime
from sprnn_runtime.errors import Unavailable

from sprnnc import measurement
from sprnnc.cli.exit_codes import Exit
from sprnnc.cli.options import seed
from sprnnc.cli.progress import progress
from sprnnc.diagnostics import fail

HELP = "time an artifact on the GPU"
EXAMPLES = """\
examples:
  sprnnc bench lstm.sprnnx
  sprnnc bench lstm.sprnnx --steps 1000 --repeats 50
  sprnnc bench lstm.sprnnx --save

A time is that of one call with everything that it launches, by CUDA events, over its steps; the input
is random. Copies between host and GPU are not in it.
"""
DEFAULT_STEPS = 256
DEFAULT_REPEATS = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("artifact", metavar="ARTIFACT", help="a file that sprnnc compile wrote")
    parser.add_argument(
        "--steps", metavar="T", type=int, default=DEFAULT_STEPS, help=f"(default: {DEFAULT_STEPS})"
    )
    parser.add_argument(
        "--repeats",
        metavar="N",
        type=int,
        default=DEFAULT_REPEATS,
        help=f"calls that are timed, after a few that are not (default: {DEFAULT_REPEATS})",
    )
    parser.add_argument(
        "--seed", metavar="SEED", type=seed, default=0, help="draws the random input (default: 0)"
    )
    parser.add_argument("--device", choices=("cuda",), default="cuda", help="nothing else keeps time")
    parser.add_argument(
        "--save",
        action="store_true",
        help=f"write the times to ARTIFACT{measurement.SUFFIX}, where sprnnc explain finds them",
    )


def run(args: argparse.Namespace) -> Exit:
    """Raises CompileError for counts that cannot be, and SprnnError for unusable files and devices."""
    for name in ("steps", "repeats"):
        if getattr(args, name) < 1:
            raise fail("E604", f"cannot time {getattr(args, name)} {name}", help=f"give --{name} 1 or more")
    with progress(f"timing {args.artifact} on {args.device}"), _open(args.artifact, args.device) as layer:
        shape = (args.steps, layer.manifest.batch, layer.manifest.input_size)
        x = np.random.default_rng(args.seed).standard_normal(shape, dtype=np.float32)
        times = layer.time_us(x, args.repeats)
        device, hardware = layer.device_name, layer.hardware
    if args.save:
        _save(Path(args.artifact), hardware, args.steps, times)
    for name, value in _summary(device, shape, times):
        print(f"{name:<8} {value}")
    return Exit.OK


def _save(artifact: Path, hardware: str, steps: int, times_us: Sequence[float]) -> None:
    made = measurement.Measurement(
        artifact=measurement.checksum(artifact),
        device=hardware,
        steps=steps,
        repeats=len(times_us),
        median_us=statistics.median(times_us),
        low_us=min(times_us),
        high_us=max(times_us),
    )
    measurement.save(made, artifact)


def _open(artifact: str, device: str) -> sprnn_runtime.Layer:
    """The layer on its device. Where there is none, the help is to measure elsewhere, not to simulate."""
    try:
        return sprnn_runtime.load(Path(artifact), device)
    except Unavailable as error:
        if error.code != "E602":
            raise
        hint = "measure on a machine with an NVIDIA GPU and driver; sprnnc explain shows a step without one"
        raise Unavailable(error.code, error.message, hint) from error


def _summary(device: str, shape: tuple[int, int, int], times_us: Sequence[float]) -> list[tuple[str, str]]:
    """Lines of the output; times are microseconds a step."""
    return [
        ("device", device),
        ("steps", str(shape[0])),
        ("batch", str(shape[1])),
        ("repeats", str(len(times_us))),
        ("median", f"{statistics.median(times_us):.3f} us a step"),
        ("low", f"{min(times_us):.3f} us a step"),
        ("high", f"{max(times_us):.3f} us a step"),
    ]
