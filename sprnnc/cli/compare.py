"""``sprnnc compare``: two versions of a layer over the same data."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from sprnn_runtime import container

from sprnnc import measurement
from sprnnc.artifact import Artifact
from sprnnc.cell.ir import DType
from sprnnc.cli.array_file import read_data
from sprnnc.cli.exit_codes import Exit
from sprnnc.cli.one_layer import one_layer
from sprnnc.cli.options import seed
from sprnnc.cli.progress import progress
from sprnnc.cli.random_input import DEFAULT_STEPS, random_input
from sprnnc.cli.weights_beside import weights_beside
from sprnnc.comparison import Version, compare, comparison_html, comparison_text
from sprnnc.comparison.compare import check_comparable
from sprnnc.compiler import compile
from sprnnc.executors import DEVICES
from sprnnc.network_artifact import load

HELP = "run two versions of a layer over the same data"
EXAMPLES = """\
examples:
  sprnnc compare dense.sprnnx pruned.sprnnx --data speech.npy
  sprnnc compare speech/encoder_l0.sprnn pruned/encoder_l0.sprnn --html pruned.html
  sprnnc compare fp32.sprnnx speech/encoder_l0.sprnn --dtype fp16

A and B are artifacts, or .sprnn files with their weights beside them, which are compiled: for the target and
batch of the artifact among them, if there is one. They may differ in everything but the sizes of input, batch
and output. Times are measured where a GPU runs them, else those of sprnnc bench --save, and predicted.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("a", metavar="A", help="an artifact, or a .sprnn file with its weights beside it")
    parser.add_argument("b", metavar="B", help="the same: what changed")
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--data",
        metavar="X",
        help="float array [steps, batch, input size]: .npy, or .npz or .safetensors with an array x",
    )
    source.add_argument(
        "--steps", metavar="T", type=int, help=f"steps of a random input (default: {DEFAULT_STEPS})"
    )
    parser.add_argument(
        "--seed", metavar="SEED", type=seed, default=0, help="draws the random input (default: 0)"
    )
    parser.add_argument(
        "--device", choices=DEVICES, default="auto", help="auto takes cuda, then sim, then reference"
    )
    parser.add_argument(
        "--html", metavar="PAGE", help="write a page with plots besides: one file that needs no other"
    )
    compiling = parser.add_argument_group("for .sprnn files")
    compiling.add_argument("--target", metavar="NAME", help="(default: the artifact's, else sm_90)")
    compiling.add_argument("--batch", metavar="B", type=int, help="(default: as A or B, else as the data)")
    compiling.add_argument("--dtype", choices=[d.value for d in DType], help="(default: the model's)")


def run(args: argparse.Namespace) -> Exit:
    """Raises CompileError for files and versions that cannot be compared, and SprnnError."""
    page = Path(args.html) if args.html else None
    if page:
        container.check_writable(page)  # before the work, not after it
    given = None if args.data is None else read_data(Path(args.data))
    with progress(f"comparing {args.a} and {args.b}") as report:
        a, b = _versions(args, given, report)
        check_comparable(a, b)
        x, data = _input(args, a.artifact, given)
        found = compare(a, b, x, device=args.device, seed=args.seed, data=data, progress=report)
        text, html = comparison_text(found), comparison_html(found) if page else ""
    if page:
        container.write_file(page, html.encode())
    if found.note:
        print(f"note: this is the reference: {found.note}", file=sys.stderr)
    sys.stdout.write(text)
    if page:
        print(f"\nwrote {page}: {len(html.encode())} bytes")
    return Exit.OK


def _versions(
    args: argparse.Namespace, given: NDArray[Any] | None, report: Callable[[str], None]
) -> tuple[Version, Version]:
    """Artifacts as they are; sources compiled for what the other one or the data are made for."""
    paths = [Path(args.a), Path(args.b)]
    loaded = {p: one_layer(load(p), None, "compare") for p in paths if p.suffix != ".sprnn"}
    plans = [artifact.plan for artifact in loaded.values()]
    columns = given.shape[1] if given is not None and given.ndim == 3 else 1
    target = args.target or (plans[0].target if plans else "sm_90")
    batch = args.batch if args.batch is not None else (plans[0].batch if plans else columns)

    def version(path: Path) -> Version:
        if path in loaded:
            return Version(str(path), loaded[path], measurement.find(path))
        report(f"compiling {path}")
        weights = weights_beside(path, help="compile it with --weights, and compare the artifact")
        made = compile(path, weights=weights, batch=batch, target=target, dtype=args.dtype)
        return Version(str(path), one_layer(made, None, "compare"))

    return version(paths[0]), version(paths[1])


def _input(
    args: argparse.Namespace, artifact: Artifact, given: NDArray[Any] | None
) -> tuple[NDArray[Any], str]:
    """The input, and what it is in words."""
    if given is not None:
        return given, f"{len(given)} steps of {args.data}"
    steps = DEFAULT_STEPS if args.steps is None else args.steps
    words = f"{steps} steps of random numbers, seed {args.seed}: give your own with --data"
    return random_input(artifact, steps, args.seed), words
