"""The plots of a run's results, as SVG text that depends on the results alone."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
import numpy as np

from examples.charlm.report_tables import best_time, label, trained

_STYLE: Any = {"svg.hashsalt": "sprnnc", "svg.fonttype": "none", "font.size": 10}
_DENSE, _PRUNED = "#c8553d", "#2a6f97"
_GATES = {"i": "input", "f": "forget", "g": "cell", "o": "output"}


def density_plot(results: Mapping[str, Any]) -> str:
    """The density of every gate of the recurrent layer, a row of bars for each pruned network."""
    pruned = {n: m for n, m in trained(results).items() if m["density"] < 1}

    def draw(axes: Any) -> None:
        width = 0.8 / max(1, len(pruned))
        for row, (name, model) in enumerate(pruned.items()):
            values = [100 * model["density_by_gate"][gate] for gate in _GATES]
            places = np.arange(len(values)) + (row - (len(pruned) - 1) / 2) * width
            shade = 1 - 0.45 * row
            bars = axes.bar(
                places, values, width * 0.92, color=_PRUNED, alpha=shade, label=label(name, model)
            )
            axes.bar_label(bars, fmt="%.1f", fontsize=8)
            axes.axhline(100 * model["density"], color=_PRUNED, alpha=shade, linewidth=0.8, zorder=0)
        axes.set_xticks(range(len(_GATES)), [f"layer 0, {word}" for word in _GATES.values()])
        axes.set_ylabel("non-zeros, %")
        axes.margins(y=0.2)
        axes.legend(frameon=False, fontsize=9)
        axes.set_title("density by gate; lines: of all gates together", fontsize=10)

    return _svg(draw)


def trade_off_plot(results: Mapping[str, Any]) -> str:
    """Bits a character over the time of a step with one column, or over non-zeros where none was measured."""
    timed = all(best_time(m, 1, "fp16") for m in trained(results).values())

    def draw(axes: Any) -> None:
        for name, model in trained(results).items():
            x = best_time(model, 1, "fp16")[0] if timed else model["nonzeros"]  # type: ignore[index]
            colour = _PRUNED if model["density"] < 1 else _DENSE
            axes.plot(x, model["bits_per_character"], "o", color=colour, markersize=8)
            text = f"{label(name, model)}\n{model['nonzeros'] / 1e6:.2f} M non-zeros"
            axes.annotate(
                text, (x, model["bits_per_character"]), (8, -3), textcoords="offset points", fontsize=8
            )
        axes.set_xlim(0, 1.45 * axes.get_xlim()[1])
        where = results["gpu"] or "no times: trained on a CPU"
        axes.set_xlabel("microseconds a step, B=1, fp16" if timed else "non-zeros")
        axes.set_ylabel("bits a character, held-out")
        axes.margins(y=0.25)
        axes.set_title(f"accuracy, density and speed ({where})", fontsize=10)

    return _svg(draw)


def _svg(draw: Callable[[Any], None]) -> str:
    with matplotlib.rc_context(_STYLE):
        figure, axes = plt.subplots(figsize=(6.4, 3.4), layout="constrained")
        draw(axes)
        axes.spines[["top", "right"]].set_visible(False)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": "sprnnc"})
        plt.close(figure)
    return buffer.getvalue()
