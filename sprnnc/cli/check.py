"""``sprnnc check``: says whether a file is a good program, without weights."""

from __future__ import annotations

import argparse
from pathlib import Path

from sprnnc.cell.ir import Model, Vector
from sprnnc.cli.exit_codes import Exit
from sprnnc.cli.options import add_model_options
from sprnnc.compiler import as_dtype, read_source
from sprnnc.diagnostics import CompileError
from sprnnc.language.check import check
from sprnnc.language.parse import parse
from sprnnc.passes.phases import split_into_phases
from sprnnc.recursion import room_for_deep_expressions
from sprnnc.schedule.choose import choose
from sprnnc.target import find_target

HELP = "check a file without compiling it"
EXAMPLES = """\
examples:
  sprnnc check examples/lstm.sprnn
  sprnnc check examples/lstm.sprnn --size H=512 --dtype fp16
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model_options(parser)
    parser.add_argument(
        "--target",
        metavar="NAME",
        default="sm_90",
        help="the device that the schedule block is checked for (default: sm_90)",
    )


@room_for_deep_expressions()
def run(args: argparse.Namespace) -> Exit:
    """Prints one line about the model. Raises CompileError with every problem found."""
    target = find_target(args.target)
    text, filename = read_source(Path(args.file))
    program = parse(text, filename)
    model = check(program, source=text, filename=filename, sizes=dict(args.size), dtype=as_dtype(args.dtype))
    try:
        choose(model, split_into_phases(model.cell), 1, target, {})
    except CompileError as error:
        raise CompileError(error.diagnostics, text, filename) from None
    print(f"{filename}: ok: {_summary(model)}")
    return Exit.OK


def _summary(model: Model) -> str:
    cell = model.cell
    weights = [f"{w.name}[{w.rows.size}, {w.cols.size}]" for w in cell.weights]
    weights += [_vector(v) for v in cell.params]
    parts = [
        f"model {model.name}, cell {cell.name}, {model.dtype.value}",
        f"input {', '.join(map(_vector, cell.inputs))}",
        f"state {', '.join(map(_vector, cell.states))}",
        f"weights {', '.join(weights)}",
    ]
    return "; ".join(parts)


def _vector(vector: Vector) -> str:
    return f"{vector.name}[{vector.space.size}]"
