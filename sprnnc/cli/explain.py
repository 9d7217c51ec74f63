"""``sprnnc explain``: what an artifact is and what a step of it costs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sprnn_runtime import container

from sprnnc import measurement
from sprnnc.artifact import Artifact
from sprnnc.cli.exit_codes import Exit
from sprnnc.cli.progress import progress
from sprnnc.explanation import explain_facts, explain_html, gather_facts

HELP = "show sizes, density, decisions and costs of an artifact"
EXAMPLES = """\
examples:
  sprnnc explain lstm.sprnnx
  sprnnc explain lstm.sprnnx --html lstm.html
  sprnnc explain lstm.sprnnx --compare-orders

Times are predicted where the target's constants were measured; what sprnnc bench --save measured of this
very artifact stands beside them.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("artifact", metavar="ARTIFACT", help="a file that sprnnc compile wrote")
    parser.add_argument(
        "--html", metavar="PAGE", help="write a page with plots instead: one file that needs no other"
    )
    parser.add_argument(
        "--compare-orders",
        action="store_true",
        help="show what the other orders of the loads would cost, the paper's greedy one among them "
        "(lays out three times more: some seconds for each million non-zeros)",
    )


def run(args: argparse.Namespace) -> Exit:
    """Raises ArtifactError for a file that is not usable, SprnnError E605 where a page cannot be written."""
    page = Path(args.html) if args.html else None
    if page:
        container.check_writable(page)
    artifact = Artifact.load(args.artifact)
    with progress(f"explaining {args.artifact}"):
        facts = gather_facts(artifact, measurement.find(Path(args.artifact)), args.compare_orders)
        text = explain_html(facts) if page else explain_facts(facts)
    if page:
        container.write_file(page, text.encode())
        print(f"wrote {page}: {len(text.encode())} bytes")
    else:
        sys.stdout.write(text)
    return Exit.OK
