"""``sprnnc import``: a trained model of another tool in, a .sprnn and a .safetensors file out."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sprnnc.cli.exit_codes import Exit
from sprnnc.cli.progress import progress
from sprnnc.folder import write_folder
from sprnnc.importing import (
    ImportedLayer,
    ImportedModel,
    files_of,
    files_of_models,
    import_file,
    whole_models,
)

HELP = "import the recurrent layers of a PyTorch or ONNX model"
EXAMPLES = """\
examples:
  sprnnc import speech.safetensors -o speech
  sprnnc import tagger.safetensors -o tagger --nonlinearity relu
  sprnnc import vad.onnx -o vad --only "*decoder/rnn/LSTM"
  sprnnc import tagger.safetensors -o layers --split
  sprnnc compile speech/encoder_l0.sprnn --weights speech/encoder_l0.safetensors

Each stack of layers becomes a .sprnn and a .safetensors file, with --split each layer and direction; all
are run beside the equations they came from on random input. Nothing in FILE is executed, and nothing is
written where anything is wrong.
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
    parser.add_argument(
        "--split",
        action="store_true",
        help="write each layer and direction apart, as sprnnc compare takes them",
    )


def run(args: argparse.Namespace) -> Exit:
    """Writes all files or none. Raises CompileError for what cannot be imported, SprnnError E605."""
    folder = Path(args.output)
    with progress(f"importing {args.file}"):
        layers = import_file(args.file, args.nonlinearity, args.only)
        models = [] if args.split else whole_models(layers)
        write_folder(folder, files_of(layers) if args.split else files_of_models(models))
    for made in models or layers:
        print(_summary(made, folder))
    for note in _notes(layers, args.split):
        print(f"note: {note}")
    return Exit.OK


def _summary(made: ImportedLayer | ImportedModel, folder: Path) -> str:
    layers = made.layers if isinstance(made, ImportedModel) else (made,)
    matrices = [t for t in made.tensors.values() if t.ndim == 2]
    density = sum(np.count_nonzero(m) for m in matrices) / sum(m.size for m in matrices)
    form = layers[0].form
    projected = f" projected to {form.projection}" if form.projection is not None else ""
    count = f"{len(layers)} layers, the first " if len(layers) > 1 else ""
    return (
        f"wrote {folder / made.name}.sprnn, .safetensors: {count}{form.kind.value}, {form.inputs} inputs, "
        f"{form.hidden} units{projected}, density {density:.3g}; "
        f"error {made.error:.2g} against {layers[0].origin.description}"
    )


def _notes(layers: Sequence[ImportedLayer], split: bool) -> list[str]:
    notes = [f"{layer.name}: {note}" for layer in layers for note in layer.notes]
    if not split:
        return notes
    if len(layers) > 1:
        notes.append("a .sprnn file holds one layer and direction: run each, and give the next its output")
    backwards = ", ".join(layer.name for layer in layers if layer.reverse)
    if backwards:
        notes.append(f"{backwards}: give the input backwards, and turn the output around")
    return notes
