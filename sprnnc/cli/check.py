"""``sprnnc check``: says whether a file is a good program, without weights."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from sprnnc.cell.ir import Cell, Model, Vector
from sprnnc.cell.network import Network, print_joined
from sprnnc.cell.network_weights import in_layer
from sprnnc.cli.exit_codes import Exit
from sprnnc.cli.options import add_model_options
from sprnnc.compiler import as_dtype, read_source
from sprnnc.diagnostics import CompileError
from sprnnc.language.check import check_program
from sprnnc.language.parse import parse
from sprnnc.passes.phases import split_into_phases
from sprnnc.recursion import room_for_deep_expressions
from sprnnc.schedule.choose import choose
from sprnnc.target import Target, find_target

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
    """Prints a line about the model, and one about each layer of a network.

    Raises CompileError with every problem found.
    """
    target = find_target(args.target)
    text, filename = read_source(Path(args.file))
    program = parse(text, filename)
    sizes, dtype = dict(args.size), as_dtype(args.dtype)
    model = check_program(program, source=text, filename=filename, sizes=sizes, dtype=dtype)
    try:
        _check_schedule(model, target)
    except CompileError as error:
        raise CompileError(error.diagnostics, text, filename) from None
    print(f"{filename}: ok: {_summary(model)}")
    return Exit.OK


def _check_schedule(model: Model | Network, target: Target) -> None:
    if isinstance(model, Model):
        choose(model, split_into_phases(model.cell), 1, target, {})
        return
    for layer in model.owners:
        with in_layer(layer.name):
            choose(model.model_of(layer), split_into_phases(layer.cell), 1, target, {})


def _summary(model: Model | Network) -> str:
    if isinstance(model, Network):
        return "\n".join(_network_lines(model))
    cell = model.cell
    parts = [
        f"model {model.name}, cell {cell.name}, {model.dtype.value}",
        f"input {', '.join(map(_vector, cell.inputs))}",
        f"state {', '.join(map(_vector, cell.states)) or '(none)'}",
        f"weights {', '.join(_weights(cell))}",
    ]
    return "; ".join(parts)


def _network_lines(network: Network) -> Iterator[str]:
    ends = f"input {network.input.name}[{network.input.size}]; output {print_joined(network.output)}"
    yield f"model {network.name}, {len(network.layers)} layers, {network.dtype.value}; {ends}"
    for e in network.embeddings:
        yield f"  embedding {e.name}: table[{e.rows}, {e.size}]"
    for layer in network.layers:
        of = f"those of {layer.weights}" if layer.weights != layer.name else ", ".join(_weights(layer.cell))
        on = f"{'reverse ' if layer.reverse else ''}on {print_joined(layer.operand)}"
        yield f"  layer {layer.name}: cell {layer.cell.name}, {on}; weights {of}"


def _weights(cell: Cell) -> list[str]:
    matrices = [f"{w.name}[{w.rows.size}, {w.cols.size}]" for w in cell.weights]
    return matrices + [_vector(v) for v in cell.params]


def _vector(vector: Vector) -> str:
    return f"{vector.name}[{vector.space.size}]"
