"""Writes a results file as tables and plots: no figure in them is typed by hand.

    python -m benchmarks.report benchmarks/results/h200.json [--network JSON] [--output DIR]

The file is named after the GPU that the rows name, and the plots lie beside it. The same rows give
the same bytes.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

from benchmarks.atomic import write_text
from benchmarks.model_cases import GROUP
from benchmarks.report_claims import network_text, tenfold_text
from benchmarks.report_models import models_text
from benchmarks.report_plots import PLOTS, draw
from benchmarks.report_tables import (
    ablation_table,
    acceptance_table,
    every_case,
    flashrnn_table,
    layer_table,
    only_one,
    sweep_table,
)
from benchmarks.results_file import Row, read_rows

_METHOD = """\
Medians of microseconds a time step, by CUDA events around one call of T steps with everything that the
call launches; ours is timed before the peers and after them, in the same process. Weights are random and
unstructured, with exactly the named density in every recurrent matrix. Every system gets the same
numbers, rounded to the storage type, and the outputs of the timed calls are compared with float64:
errors are ||y - reference|| / ||reference||. An fp16 row competes with peers of every precision, an fp32
row with true fp32 alone. `pad8` runs the batch padded to 8 columns. The ratio is the best peer's time
over ours.
"""


def gpu_slug(gpu: str) -> str:
    """ "NVIDIA H200" is h200, "NVIDIA H100 80GB HBM3" is h100; any other name its own words."""
    model = re.search(r"\b[A-Z]{1,3}\d{2,4}\b", gpu)
    return model.group().lower() if model else re.sub(r"\W+", "-", gpu.lower()).strip("-")


def report_text(rows: list[Row], slug: str, network: dict[str, Any] | None = None) -> str:
    """The whole page, in Markdown; ``network`` is what ``benchmarks.first_light`` wrote."""
    gpu = only_one(rows, "gpu")
    commits = ", ".join(sorted({r["commit"] or "unknown" for r in rows}))
    versions = {name: version for r in rows for name, version in r["versions"].items()}
    listed = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
    sections = [
        f"# Measured on one {gpu}\n",
        f"Commit {commits}; {listed or 'no other systems'}. Written by `python -m benchmarks.report`.\n",
        _METHOD,
        "## What is asked for\n",
        acceptance_table(rows),
        "## Ten times the parameters\n",
        tenfold_text(rows),
        "## A trained network\n",
        network_text(network, gpu),
        "## The ablation\n",
        ablation_table(rows),
        _picture(slug, "ablation"),
    ]
    for group, title in (("density", "By density"), ("size", "By hidden size"), ("batch", "By batch")):
        sections += [f"## {title}\n", sweep_table(rows, group), _picture(slug, group)]
    sections += ["## The whole layer, input product included\n", layer_table(rows)]
    sections += ["## Whole models\n", models_text(rows)]
    sections += ["## FlashRNN\n", flashrnn_table(rows)]
    sections += ["## Every case and every peer\n", every_case([r for r in rows if GROUP not in r["groups"]])]
    return "\n".join(sections)


def _picture(slug: str, plot: str) -> str:
    return f"![{PLOTS[plot]}]({slug}_{plot}.svg)\n"


def write_report(rows: list[Row], folder: Path, network: dict[str, Any] | None = None) -> list[Path]:
    """Writes the page and its plots into ``folder``; returns their paths."""
    slug = gpu_slug(only_one(rows, "gpu"))
    page = folder / f"{slug}.md"
    write_text(page, report_text(rows, slug, network))
    written = [page]
    for plot in PLOTS:
        path = folder / f"{slug}_{plot}.svg"
        write_text(path, draw(plot, rows))
        written.append(path)
    return written


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path, metavar="JSON")
    parser.add_argument(
        "--network", type=Path, metavar="JSON", help="of benchmarks.first_light (default: beside the results)"
    )
    parser.add_argument("--output", type=Path, metavar="DIR", help="(default: beside the results)")
    options = parser.parse_args()
    rows = read_rows(options.results)
    if not rows:
        raise SystemExit(f"{options.results} holds no rows")
    network = options.network or options.results.with_name(f"first_light_{options.results.name}")
    trained = json.loads(network.read_text()) if network.exists() else None
    for path in write_report(rows, options.output or options.results.parent, trained):
        print(path)


if __name__ == "__main__":
    main()
