"""Draws docs/first_light.svg from benchmarks/results/first_light_h200.json."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

ROOT = Path(__file__).parents[1]


def main() -> None:
    result = json.loads((ROOT / "benchmarks/results/first_light_h200.json").read_text())
    rows = result["rows"]
    plt.rcParams["svg.hashsalt"] = "sprnnc"
    figure, axes = plt.subplots(figsize=(7, 2.8), layout="constrained")
    labels = list(dict.fromkeys(f"B={r['B']} {r['dtype']}" for r in rows))
    for offset, (exchange, colour) in enumerate((("lamport", "#2a6f97"), ("barrier", "#bfbfbf"))):
        times = [r["us_per_step"] for r in rows if r["exchange"] == exchange]
        places = [i + 0.4 * offset for i in range(len(labels))]
        bars = axes.bar(places, times, width=0.38, color=colour, label=exchange)
        axes.bar_label(bars, fmt="%.2f", fontsize=8)
    axes.set_xticks([i + 0.2 for i in range(len(labels))], labels)
    axes.set_ylabel("µs a step")
    axes.set_title(f"GRU H={rows[0]['H']}, density {rows[0]['density']:.3f}, {result['gpu']}", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(ROOT / "docs/first_light.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
