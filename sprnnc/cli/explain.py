"""``sprnnc explain``: what an artifact is and what a step of it costs."""

from __future__ import annotations

import argparse
import sys

from sprnnc.artifact import Artifact
from sprnnc.cli.exit_codes import Exit
from sprnnc.explanation import explain

HELP = "show sizes, density, decisions and costs of an artifact"
EXAMPLES = """\
examples:
  sprnnc explain lstm.sprnnx
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("artifact", metavar="ARTIFACT", help="a file that sprnnc compile wrote")


def run(args: argparse.Namespace) -> Exit:
    """Raises ArtifactError for a file that is not usable."""
    sys.stdout.write(explain(Artifact.load(args.artifact)))
    return Exit.OK
