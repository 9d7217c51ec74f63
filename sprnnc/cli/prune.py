"""``sprnnc prune``: layers in, the same layers with fewer weights out."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sprnnc.cli.exit_codes import Exit
from sprnnc.cli.progress import progress
from sprnnc.cli.weights_beside import weights_beside
from sprnnc.compiler import read_source
from sprnnc.diagnostics import fail
from sprnnc.folder import write_folder
from sprnnc.pruning import (
    Norm,
    Rank,
    Request,
    Whole,
    pattern_from_text,
    prune_layers,
    prune_to_device,
    put_together,
    take_apart,
)
from sprnnc.recursion import room_for_deep_expressions
from sprnnc.sparsity.write_weights import weight_file_bytes
from sprnnc.target import find_target

HELP = "prune layers by magnitude"
EXAMPLES = """\
examples:
  sprnnc prune speech/encoder_l0.sprnn -o pruned --pattern "sparse(0.1)"
  sprnnc prune speech/*.sprnn -o pruned --pattern "blocks(4, 4, 0.1) + diagonal" --rank all
  sprnnc prune speech/encoder_l0.sprnn -o pruned --fit sm_90 --batch 4

What is kept has the largest magnitudes that the pattern allows. Matrices that multiply inputs only are
left as they are, unless --only names them. Training the rest again regains most of what pruning costs.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", metavar="FILE", nargs="+", help="a .sprnn file, its weights beside it")
    parser.add_argument("-o", "--output", metavar="DIR", required=True, help="the folder to write into")
    parser.add_argument(
        "--weights", metavar="W", help="the weights of the only FILE (default: FILE.safetensors or .npz)"
    )
    parser.add_argument(
        "--pattern",
        metavar="PATTERN",
        help="as the language writes it (default: sparse(0.1); sparse(1) with --fit)",
    )
    parser.add_argument(
        "--rank",
        choices=[r.value for r in Rank],
        default=Rank.LAYER.value,
        help="matrices that share a threshold: none (gate), a layer's, or all (default: layer)",
    )
    parser.add_argument(
        "--norm", choices=[n.value for n in Norm], default=Norm.L2.value, help="of a block (default: l2)"
    )
    parser.add_argument(
        "--only", metavar="NAME", action="append", default=[], help="a matrix, or several: U*; repeatable"
    )
    parser.add_argument(
        "--fit",
        metavar="TARGET",
        help="the densest that stays on the chip of this device, and at most as dense as the pattern",
    )
    parser.add_argument("--batch", metavar="B", type=int, default=1, help="for --fit (default: 1)")


@room_for_deep_expressions()
def run(args: argparse.Namespace) -> Exit:
    """Writes all files or none. Raises CompileError, and SprnnError E605."""
    folder = Path(args.output)
    sources = [Path(f) for f in args.files]
    weights = _weight_files(sources, args.weights)
    _refuse_clashes(folder, sources, weights)
    text = args.pattern or ("sparse(1)" if args.fit else "sparse(0.1)")
    request = Request(pattern_from_text(text), Rank(args.rank), Norm(args.norm), tuple(args.only))
    with progress(f"pruning {', '.join(args.files)}"):
        wholes = [_whole(s, w) for s, w in zip(sources, weights, strict=True)]
        layers = [layer for whole in wholes for layer in whole.layers]
        if args.fit:
            pruned = iter(prune_to_device(layers, request, find_target(args.fit), args.batch))
        else:
            pruned = iter(prune_layers(layers, request))
        after = [put_together(w, [next(pruned) for _ in w.layers]) for w in wholes]
        write_folder(folder, _contents(sources, weights, after))
    for source, old, new in zip(sources, wholes, after, strict=True):
        print(_summary(folder / source.name, old, new))
    return Exit.OK


def _weight_files(sources: Sequence[Path], given: str | None) -> list[Path]:
    """One of each source. Raises CompileError E713 where one is missing or more than one could be meant."""
    if given is not None:
        if len(sources) > 1:
            raise fail(
                "E713",
                f"--weights names one file for {len(sources)} layers",
                help="leave it out: those of lstm.sprnn are looked for in lstm.safetensors and lstm.npz",
            )
        return [Path(given)]
    return [weights_beside(source) for source in sources]


def _refuse_clashes(folder: Path, sources: Sequence[Path], weights: Sequence[Path]) -> None:
    """Raises CompileError E713 where two outputs have one name, or an output is an input."""
    names = [source.name for source in sources]
    if len(set(names)) < len(names):
        raise fail("E713", "two of the files have the same name, and would be written over each other")
    for path in (*sources, *weights):
        if path.resolve().parent == folder.resolve():
            raise fail("E713", f"{path} would be written over", help="choose another folder with -o")


def _whole(source: Path, weights: Path) -> Whole:
    text, filename = read_source(source)
    return take_apart(text, weights, filename)


def _contents(sources: Sequence[Path], weights: Sequence[Path], wholes: Sequence[Whole]) -> dict[str, bytes]:
    """Each text, and each weight file in the format it had, by the name of its source."""
    files = {}
    for source, weight, whole in zip(sources, weights, wholes, strict=True):
        files[source.name] = whole.text.encode()
        name = source.with_suffix(weight.suffix).name
        files[name] = weight_file_bytes(Path(name), whole.tensors)
        state = source.with_suffix(".state.safetensors")  # of an imported model, which starts there still
        if state.is_file():
            files[state.name] = state.read_bytes()
    return files


def _summary(path: Path, before: Whole, after: Whole) -> str:
    """Density as a whole, then matrix by matrix where it changed."""
    old, new = before.tensors, after.tensors
    changed = [
        f"{name} {np.count_nonzero(t) / t.size:.3g}"
        for name, t in new.items()
        if t.ndim == 2 and not np.array_equal(old[name], t)
    ]
    densities = f"{before.density:.3g} to {after.density:.3g}"
    return f"wrote {path}: density {densities}; {', '.join(changed)}"
