"""Types of option values, and options that several commands share.

These refuse what has the wrong form (exit code 2); a value of the right form that cannot be, such
as batch 0, is left to the compiler, whose message says what would do.
"""

from __future__ import annotations

import argparse

from sprnnc.cell.ir import DType


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the line breaks of the examples, and leaves room for long options."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=34)


def seed(text: str) -> int:
    """A whole number from 0."""
    value = _whole_number(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"'{text}' is not a seed: expected a whole number from 0")
    return value


def size_override(text: str) -> tuple[str, int]:
    """``NAME=N`` as (name, number)."""
    name, value = _assignment(text, "NAME=N, such as H=512")
    return name, _whole_number(value)


def schedule_override(text: str) -> tuple[str, int | str]:
    """``NAME=VALUE`` as (name, value); a value that reads as a whole number is one."""
    name, value = _assignment(text, "NAME=VALUE, such as exchange=barrier")
    try:
        return name, int(value)
    except ValueError:
        return name, value


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """The source file and what may be changed about its model from outside."""
    parser.add_argument("file", metavar="FILE", help="a .sprnn file")
    parser.add_argument(
        "--size",
        metavar="NAME=N",
        type=size_override,
        action="append",
        default=[],
        help="set a size of the cell; may be given several times",
    )
    parser.add_argument(
        "--dtype",
        choices=[d.value for d in DType],
        help="storage type of weights and exchanged vectors (default: the model's)",
    )


def _assignment(text: str, expected: str) -> tuple[str, str]:
    name, equals, value = (part.strip() for part in text.partition("="))
    if not (name and equals and value):
        raise argparse.ArgumentTypeError(f"'{text}': expected {expected}")
    return name, value


def _whole_number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number") from None
