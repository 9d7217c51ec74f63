"""``sprnnc import``: a trained model of another tool in, a .sprnn and a .safetensors file a layer out."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sprnnc.cli.exit_codes import Exit
from sprnnc.cli.progress import progress
from sprnnc.folder import write_folder
from sprnnc.importing import ImportedLayer, files_of, import_file

HELP = "import the recurrent layers of a PyTorch or ONNX model"
EXAMPLES = """\
examples:
  sprnnc import speech.safetensors -o speech
  sprnnc import tagger.safetensors -o tagger --nonlinearity relu
  sprnnc import vad.onnx -o vad --only "*decoder/rnn/LSTM"
  sprnnc compile speech/encoder_l0.sprnn --weights speech/encoder_l0.safetensors

Each layer and direction becomes a .sprnn and a .safetensors file, and is run beside the equations it
came from on random input. Nothing in FILE is executed, and nothing is written where anything is wrong.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="a state_dict (.safetensors, .pt) or .onnx")
    parser.add_argument(
        "-o", "--output", metavar="DIR", default=".", help="the folder to write into (default: this one)"
    )
    parser.add_argument(
        "--nonlinearity",
        choices=("tanh", "relu"),
        help="of nn.RNN in a state_dict, where shapes do not tell",
    )
    parser.add_argument(
        "--only",
        metavar="NAME",
        action="append",
        default=[],
        help="a module of a state_dict or a node of an ONNX model, or several: encoder.*; repeatable",
    )


def run(args: argparse.Namespace) -> Exit:
    """Writes all files or none. Raises CompileError for what cannot be imported, SprnnError E605."""
    folder = Path(args.output)
    with progress(f"importing {args.file}"):
        layers = import_file(args.file, args.nonlinearity, args.only)
        write_folder(folder, files_of(layers))
    for layer in layers:
        print(_summary(layer, folder))
    for note in _notes(layers):
        print(f"note: {note}")
    return Exit.OK


def _summary(layer: ImportedLayer, folder: Path) -> str:
    form = layer.form
    matrices = [t for t in layer.tensors.values() if t.ndim == 2]
    density = sum(np.count_nonzero(m) for m in matrices) / sum(m.size for m in matrices)
    projected = f" projected to {form.projection}" if form.projection is not None else ""
    return (
        f"wrote {folder / layer.name}.sprnn, .safetensors: {form.kind.value}, {form.inputs} inputs, "
        f"{form.hidden} units{projected}, density {density:.3g}; "
        f"error {layer.error:.2g} against {layer.origin.description}"
    )


def _notes(layers: Sequence[ImportedLayer]) -> list[str]:
    notes = [f"{layer.name}: {note}" for layer in layers for note in layer.notes]
    if len(layers) > 1:
        notes.append("a .sprnn file holds one layer and direction: run each, and give the next its output")
    backwards = ", ".join(layer.name for layer in layers if layer.reverse)
    if backwards:
        notes.append(f"{backwards}: give the input backwards, and turn the output around")
    return notes
