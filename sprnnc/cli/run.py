"""``sprnnc run``: runs an artifact on an input, and checks the result where asked."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sprnn_runtime import container

from sprnnc.cell.ir import DType
from sprnnc.cli.array_file import read_array, read_arrays
from sprnnc.cli.exit_codes import Exit
from sprnnc.cli.options import seed
from sprnnc.cli.progress import progress
from sprnnc.cli.random_input import DEFAULT_STEPS, random_input
from sprnnc.executors import DEVICES, Run, execute
from sprnnc.network_artifact import load

HELP = "run an artifact on an input, or on a random one"
EXAMPLES = """\
examples:
  sprnnc run lstm.sprnnx --check
  sprnnc run lstm.sprnnx --device sim --steps 16 --seed 7 --check
  sprnnc run lstm.sprnnx --input x.npy --output y.npy
  sprnnc run lstm.sprnnx --input x.npy --state speech.state.safetensors
  sprnnc run lstm.sprnnx --input x.npy --lengths 64,20

The input is a float array [steps, batch, input size], of at most as many columns as were compiled.
With --check the exit code is 3 if the error, ||y - reference|| / ||reference||, is above 1e-5 (fp32)
or 1e-2 (fp16, bf16).
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("artifact", metavar="ARTIFACT", help="a file that sprnnc compile wrote")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--input", metavar="X.npy", help="float array [steps, batch, input size]")
    source.add_argument(
        "--steps", metavar="T", type=int, help=f"steps of a random input (default: {DEFAULT_STEPS})"
    )
    parser.add_argument(
        "--seed",
        metavar="SEED",
        type=seed,
        default=0,
        help="draws the random input, and the order of threads under sim (default: 0)",
    )
    parser.add_argument(
        "--device", choices=DEVICES, default="auto", help="auto takes cuda, then sim, then reference"
    )
    parser.add_argument(
        "--state",
        metavar="FILE",
        help="states at the start, a .safetensors or .npz file, [batch, size] each (default: zeros)",
    )
    parser.add_argument(
        "--lengths",
        metavar="N,N,...",
        type=_lengths,
        help="the steps of each column: past them its outputs are zero and its states stay (default: all)",
    )
    parser.add_argument("--check", action="store_true", help="compare with the reference")
    parser.add_argument("--output", metavar="Y.npy", help="write y, float32 [steps, batch, output size]")


def run(args: argparse.Namespace) -> Exit:
    """Raises CompileError and SprnnError for files, inputs and devices that are not usable."""
    artifact = load(args.artifact)
    if args.input is not None:
        x = read_array(Path(args.input))
    else:
        x = random_input(artifact, DEFAULT_STEPS if args.steps is None else args.steps, args.seed)
    state = {} if args.state is None else read_arrays(Path(args.state))
    if args.output is not None:
        container.check_writable(Path(args.output))  # before the work, not after it
    with progress(f"running {args.artifact} on {args.device}"):
        result = execute(
            artifact,
            x,
            state,
            lengths=args.lengths,
            device=args.device,
            check=args.check,
            seed=args.seed,
        )
    if args.output is not None:
        container.write_file(Path(args.output), container.array_bytes(_float32(result.y)))
    if result.note:
        print(f"note: this is the reference: {result.note}", file=sys.stderr)
    for name, value in _summary(result):
        print(f"{name:<8} {value}")
    return Exit.OK if result.error is None else _verdict(result.error, DType(artifact.manifest.dtype))


def _lengths(text: str) -> list[int]:
    try:
        return [int(n) for n in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}': expected whole numbers, as in 64,20") from None


def _float32(y: NDArray[Any]) -> NDArray[np.float32]:
    """What every device writes, the float64 reference too; beyond float32 becomes Inf."""
    with np.errstate(over="ignore"):
        return y.astype(np.float32)


def _summary(result: Run) -> list[tuple[str, str]]:
    y = result.y
    with np.errstate(all="ignore"):  # NaN and Inf are shown as they are
        mean = y.mean(dtype=np.float64)
    return [
        ("device", result.device),
        ("steps", str(y.shape[0])),
        ("batch", str(y.shape[1])),
        ("seconds", f"{result.seconds:.4f}"),
        ("y", f"min {y.min():.6g}, mean {mean:.6g}, max {y.max():.6g}"),
    ]


def _verdict(error: float, dtype: DType) -> Exit:
    """Prints the error against its bound, which is that of the project's tests. NaN fails."""
    bound = 1e-5 if dtype is DType.FP32 else 1e-2
    passed = error <= bound
    print(f"{'error':<8} {error:.3g} against the reference, {'within' if passed else 'ABOVE'} {bound:g}")
    return Exit.OK if passed else Exit.CHECK_FAILED
