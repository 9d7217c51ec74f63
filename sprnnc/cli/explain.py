"""``sprnnc explain``: what an artifact is and what a step of it costs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sprnn_runtime import container

from sprnnc import measurement
from sprnnc.cli.exit_codes import Exit
from sprnnc.cli.one_layer import add_layer_option, one_layer
from sprnnc.cli.progress import progress
from sprnnc.explanation import explain_facts, explain_html, explain_network, gather_facts
from sprnnc.network_artifact import Compiled, NetworkArtifact, load

HELP = "show sizes, density, decisions and costs of an artifact"
EXAMPLES = """\
examples:
  sprnnc explain lstm.sprnnx
  sprnnc explain lstm.sprnnx --html lstm.html
  sprnnc explain lstm.sprnnx --compare-orders
  sprnnc explain speech.sprnnx --layer encoder --html encoder.html

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
    add_layer_option(parser, "explain")


def run(args: argparse.Namespace) -> Exit:
    """Raises ArtifactError for a file that is not usable, SprnnError E605 where a page cannot be written."""
    page = Path(args.html) if args.html else None
    if page:
        container.check_writable(page)
    compiled = load(args.artifact)
    with progress(f"explaining {args.artifact}"):
        text = _text(compiled, args)
    if page:
        container.write_file(page, text.encode())
        print(f"wrote {page}: {len(text.encode())} bytes")
    else:
        sys.stdout.write(text)
    return Exit.OK


def _text(compiled: Compiled, args: argparse.Namespace) -> str:
    measured = measurement.find(Path(args.artifact))
    if isinstance(compiled, NetworkArtifact):
        if not (args.layer or args.html or args.compare_orders):
            return explain_network(compiled, measured)
        measured = None  # of the whole, not of the layer
    option = "--html" if args.html else "--compare-orders"
    layer = one_layer(compiled, args.layer, f"explain {option}")
    facts = gather_facts(layer, measured, args.compare_orders)
    return explain_html(facts) if args.html else explain_facts(facts)
