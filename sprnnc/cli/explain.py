"""``sprnnc explain``: what an artifact is and what a step of it costs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sprnnc import measurement
from sprnnc.artifact import Artifact
from sprnnc.cli.exit_codes import Exit
from sprnnc.explanation import explain_facts, gather_facts

HELP = "show sizes, density, decisions and costs of an artifact"
EXAMPLES = """\
examples:
  sprnnc explain lstm.sprnnx
  sprnnc explain lstm.sprnnx --compare-orders

Times are predicted where the target's constants were measured; what sprnnc bench --save measured of this
very artifact stands beside them.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("artifact", metavar="ARTIFACT", help="a file that sprnnc compile wrote")
    parser.add_argument(
        "--compare-orders",
        action="store_true",
        help="show what the paper's greedy order of the loads and none would cost (lays out twice more: "
        "some seconds for each million non-zeros)",
    )


def run(args: argparse.Namespace) -> Exit:
    """Raises ArtifactError for a file that is not usable."""
    artifact = Artifact.load(args.artifact)
    facts = gather_facts(artifact, measurement.find(Path(args.artifact)), args.compare_orders)
    sys.stdout.write(explain_facts(facts))
    return Exit.OK
