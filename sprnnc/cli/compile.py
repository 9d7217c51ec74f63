"""``sprnnc compile``: a file and weights in, an artifact (or one of its parts) out."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sprnn_runtime import container

from sprnnc.cli.exit_codes import Exit
from sprnnc.cli.one_layer import add_layer_option, one_layer
from sprnnc.cli.options import add_model_options, schedule_override, seed
from sprnnc.cli.progress import progress
from sprnnc.compiler import compile
from sprnnc.diagnostics import fail
from sprnnc.network_artifact import Compiled, NetworkArtifact
from sprnnc.schedule.assemble import print_plan
from sprnnc.schedule.network_plan import print_network_plan

HELP = "compile a file and its weights to an artifact"
EXAMPLES = """\
examples:
  sprnnc compile examples/lstm.sprnn --random-weights 0
  sprnnc compile speech.sprnn --weights speech.safetensors --batch 4 -o speech.sprnnx
  sprnnc compile speech.sprnn --weights speech.npz --target sm_80 --set exchange=barrier
  sprnnc compile examples/lstm.sprnn --random-weights 0 --emit cuda -o -
"""
STDOUT = "-"

# What is written, and the end of the file's name where -o names none.
_SUFFIXES = {None: container.SUFFIX, "cuda": ".cu", "cubin": ".cubin", "plan": ".plan.txt"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model_options(parser)
    _add_weight_options(parser)
    parser.add_argument(
        "--batch", metavar="B", type=int, default=1, help="columns that run together (default: 1)"
    )
    parser.add_argument(
        "--target",
        metavar="NAME",
        default="sm_90",
        help="sm_80, sm_90, sm_100, ... or sim, which needs no GPU (default: sm_90)",
    )
    parser.add_argument(
        "--set",
        metavar="NAME=VALUE",
        type=schedule_override,
        action="append",
        default=[],
        help="override a decision of the compiler, such as exchange=barrier; may be given several times",
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        help="the file to write; - is standard output (default: the model's name in this folder)",
    )
    parser.add_argument(
        "--emit",
        choices=[name for name in _SUFFIXES if name],
        help="write the kernel's source, its binary or the plan instead of an artifact",
    )
    add_layer_option(parser, "with --emit, write that of")
    parser.add_argument("--dump-ir", metavar="DIR", help="write the text of every stage into this folder")


def _add_weight_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--weights", metavar="FILE", help="a .safetensors or .npz file with all tensors")
    parser.add_argument(
        "--random-weights",
        metavar="SEED",
        type=seed,
        help="random weights of the declared patterns, instead of a file",
    )
    parser.add_argument("--allow-nan", action="store_true", help="accept weights that are NaN or infinite")


def run(args: argparse.Namespace) -> Exit:
    """Writes the output whole or not at all. Raises CompileError, and SprnnError E605."""
    if args.output not in (None, STDOUT):
        container.check_writable(Path(args.output))  # before the work, not after it
    with progress(f"compiling {args.file}") as report:
        artifact = compile(
            Path(args.file),
            weights=args.weights,
            random_weights=args.random_weights,
            batch=args.batch,
            target=args.target,
            sizes=dict(args.size),
            dtype=args.dtype,
            schedule=dict(args.set),
            allow_nan=args.allow_nan,
            dump_ir=args.dump_ir,
            progress=report,
        )
        data = _contents(artifact, args.emit, args.layer)
    if args.output == STDOUT:
        sys.stdout.buffer.write(data)
        return Exit.OK
    path = Path(args.output if args.output is not None else artifact.manifest.name + _SUFFIXES[args.emit])
    container.write_file(path, data)
    print(f"wrote {path}: {_summary(artifact)}, {len(data)} bytes")
    return Exit.OK


def _contents(compiled: Compiled, emit: str | None, layer: str | None) -> bytes:
    if emit is None:
        return compiled.to_bytes()
    if emit == "plan" and layer is None and isinstance(compiled, NetworkArtifact):
        return print_network_plan(compiled.plan, compiled.network).encode()
    artifact = one_layer(compiled, layer, f"--emit {emit}")
    if emit == "cuda":
        return artifact.kernel_source.encode()
    if emit == "plan":
        return print_plan(artifact.plan).encode()
    if artifact.cubin is None:
        raise fail(
            "E505",
            f"target {artifact.plan.target} has no cubin: nothing is built for a GPU",
            help="choose a GPU with --target, such as sm_90, or --emit cuda for the source",
        )
    return artifact.cubin


def _summary(compiled: Compiled) -> str:
    m = compiled.manifest
    what = f"{len(compiled.network.layers)} layers" if isinstance(compiled, NetworkArtifact) else m.cell
    return f"{what} for {m.target}, {m.dtype}, batch {m.batch}"
