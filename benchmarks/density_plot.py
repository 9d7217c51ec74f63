"""Draws the density of every matrix of pruned layers, by gate and layer.

python -m benchmarks.density_plot pruned/*.sprnn -o density.svg [--title TEXT]
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("svg")
import matplotlib.pyplot as plt
from matplotlib.ticker import PercentFormatter

from benchmarks.atomic import write_text
from sprnnc.cli.weights_beside import weights_beside
from sprnnc.passes.phases import split_into_phases
from sprnnc.pruning import Layer, make_layer

_COLOURS = ("#2a6f97", "#c8553d", "#588157", "#8e6c8a", "#7a7a7a")
_STYLE: Any = {"svg.hashsalt": "sprnnc", "svg.fonttype": "none", "font.size": 10}


def densities(layer: Layer) -> dict[str, float]:
    """Of the matrices that multiply states, by name, in the order of the text."""
    phases = split_into_phases(layer.model.cell).phases
    looped = {product.weight for phase in phases for product in phase.products}
    names = [w.name for w in layer.model.cell.weights if w.name in looped]
    return {name: np.count_nonzero(layer.tensors[name]) / layer.tensors[name].size for name in names}


def draw(layers: Mapping[str, Mapping[str, float]], title: str) -> str:
    """A group of bars a gate, a bar a layer, as an SVG document that depends on the numbers alone."""
    gates = list(dict.fromkeys(gate for layer in layers.values() for gate in layer))
    width = 0.8 / max(1, len(layers))
    with matplotlib.rc_context(_STYLE):
        figure, axes = plt.subplots(figsize=(6.4, 3.0), layout="constrained")
        for at, (name, layer) in enumerate(layers.items()):
            places = [gates.index(gate) + (at - (len(layers) - 1) / 2) * width for gate in layer]
            colour = _COLOURS[at % len(_COLOURS)]
            bars = axes.bar(places, list(layer.values()), width=width * 0.92, color=colour, label=name)
            axes.bar_label(bars, fmt=lambda value: f"{value:.1%}", fontsize=8)
        axes.set_xticks(range(len(gates)), gates)
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.set_ylabel("weights that are not zero")
        axes.set_title(title, fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(y=0.15)
        axes.legend(frameon=False, fontsize=9)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": "sprnnc"})
        plt.close(figure)
    return buffer.getvalue()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a .sprnn, its weights beside it")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="PLOT.svg")
    parser.add_argument("--title", default="density by gate and layer")
    parser.add_argument("--names", nargs="*", metavar="NAME", help="of the layers (default: of the files)")
    given = parser.parse_args(arguments)
    names = given.names or [file.stem for file in given.files]
    if len(set(names)) != len(given.files):
        parser.error("give each file a name of its own with --names")
    layers = [make_layer(f.read_text(encoding="utf-8"), weights_beside(f), str(f)) for f in given.files]
    drawn = {name: densities(layer) for name, layer in zip(names, layers, strict=True)}
    write_text(given.output, draw(drawn, given.title))


if __name__ == "__main__":
    main()
