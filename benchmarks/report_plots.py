"""The plots of the report, as SVG text that depends on the rows alone."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from benchmarks.cases import Rung
from benchmarks.report_tables import ablation_points, in_group, only_one
from benchmarks.results_file import Row

PLOTS = {
    "density": "speed-up over the best peer, by density",
    "size": "speed-up over the best peer, by hidden size",
    "batch": "speed-up over the best peer, by batch",
    "ablation": "speed-up of every rung over the naive kernel",
}
_VARIES = {"density": "density", "size": "H", "batch": "B"}
_AXIS = {"density": "density of the recurrent matrices", "size": "hidden size H", "batch": "batch B"}
_COLOURS = ("#2a6f97", "#c8553d", "#588157", "#8e6c8a")
_SHADES = ("#cfd8dc", "#a9c4d4", "#7fa9c2", "#4f89ab", "#2a6f97")
_STYLE: Any = {"svg.hashsalt": "sprnnc", "svg.fonttype": "none", "font.size": 10}


def draw(plot: str, rows: Sequence[Row]) -> str:
    """One of ``PLOTS`` as an SVG document."""
    with matplotlib.rc_context(_STYLE):
        figure, axes = plt.subplots(figsize=(6.4, 3.4), layout="constrained")
        if plot == "ablation":
            _draw_ablation(axes, rows)
        else:
            _draw_sweep(axes, rows, plot)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_title(f"{PLOTS[plot]} ({only_one(rows, 'gpu')})", fontsize=10)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": "sprnnc"})
        plt.close(figure)
    return buffer.getvalue()


def _draw_sweep(axes: Any, rows: Sequence[Row], group: str) -> None:
    """One line a cell and shape, over the one number that varies; both axes logarithmic."""
    varies = _VARIES[group]
    lines: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for row in in_group(rows, group):
        if row["ratio"] is not None:
            lines[_label(row, varies)].append((row[varies], row["ratio"]))
    for colour, (label, points) in zip(_COLOURS, lines.items(), strict=False):
        axes.plot(*zip(*sorted(points), strict=True), "o-", color=colour, label=label)
    axes.axhline(1, color="#bfbfbf", linewidth=1, zorder=0)
    axes.set_xscale("log")
    axes.set_yscale("log")
    ticks = sorted({x for points in lines.values() for x, _ in points})
    axes.set_xticks(ticks, [f"{t:g}" for t in ticks], rotation=45 if len(ticks) > 8 else 0)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_locator(NullLocator())
    axes.set_xlabel(_AXIS[group])
    axes.set_ylabel("best peer's time / ours")
    if lines:
        axes.legend(frameon=False, fontsize=9)


def _label(row: Row, varies: str) -> str:
    fixed = {"H": f"H={row['H']}", "B": f"B={row['B']}", "density": f"density {row['density']:g}"}
    return " ".join([row["cell"], *(text for key, text in fixed.items() if key != varies)])


def _draw_ablation(axes: Any, rows: Sequence[Row]) -> None:
    """A group of bars a point, a bar a rung, each over the point's naive time."""
    points = [(shape, rungs) for shape, rungs in ablation_points(rows) if rungs.get(Rung.NAIVE.value)]
    width = 0.8 / len(Rung)
    for i, (rung, shade) in enumerate(zip(Rung, _SHADES, strict=True)):
        places, heights = [], []
        for place, (_, rungs) in enumerate(points):
            time, naive = rungs.get(rung.value), rungs[Rung.NAIVE.value]
            if time and naive:
                places.append(place + (i - 2) * width)
                heights.append(naive / time)
        bars = axes.bar(places, heights, width=width * 0.92, color=shade, label=rung.value)
        axes.bar_label(bars, fmt="%.1f", fontsize=7)
    axes.set_xticks(range(len(points)), [f"{s[0]} {s[1]}\nB={s[2]} d={s[3]}" for s, _ in points], fontsize=9)
    axes.set_ylabel("naive time / time")
    if points:
        axes.legend(frameon=False, fontsize=8, ncols=len(Rung), loc="upper center", bbox_to_anchor=(0.5, 1.0))
        axes.margins(y=0.25)
