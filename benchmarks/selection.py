"""Command-line options that pick cases of the table."""

from __future__ import annotations

import argparse
import re

from benchmarks.cases import Case, Group, all_cases
from benchmarks.cells import Mode


def add_selection_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--only", metavar="REGEX", help="cases whose name has a match, such as '^lstm-1024'")
    parser.add_argument(
        "--group",
        choices=[g.value for g in Group],
        action="append",
        help="cases of one table or plot; may be given several times (default: all)",
    )
    parser.add_argument("--mode", choices=[m.value for m in Mode], help="(default: both)")


def select(options: argparse.Namespace) -> list[Case]:
    """The cases that the options name, in the table's order; ends the program where there is none."""
    groups = {Group(g) for g in options.group} if options.group else set(Group)
    try:
        pattern = re.compile(options.only or "")
    except re.error as error:
        raise SystemExit(f"--only {options.only}: {error}") from error
    cases = [
        c
        for c in all_cases()
        if pattern.search(c.name) and c.groups & groups and options.mode in (None, c.mode.value)
    ]
    if not cases:
        raise SystemExit("no case has such a name, group and mode")
    return cases
