"""Writes tables and plots of a training run beside its results.

    python -m examples.charlm.report examples/charlm/results/h200.json

They are called charlm.md, charlm_density.svg and charlm_tradeoff.svg, whatever the results are called.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from sprnn_runtime import container

from examples.charlm.plots import density_plot, trade_off_plot
from examples.charlm.report_tables import markdown


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path, metavar="JSON")
    options = parser.parse_args(arguments)
    results = json.loads(options.results.read_text("utf-8"))
    files = {"charlm_density.svg": density_plot(results), "charlm_tradeoff.svg": trade_off_plot(results)}
    files["charlm.md"] = markdown(results, list(files))
    for name, text in files.items():
        container.write_file(options.results.with_name(name), text.encode())


if __name__ == "__main__":
    main()
