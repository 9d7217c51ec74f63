"""Names of files and models, made from names of modules."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import TypeVar

from sprnnc.diagnostics import fail, shown

Thing = TypeVar("Thing")


def file_name(*parts: str) -> str:
    """``encoder.rnn.``, ``l0`` as ``encoder_rnn_l0``: a name of the language, and of a file anywhere."""
    words = [re.sub(r"[^A-Za-z0-9]+", "_", part).strip("_") for part in parts]
    name = "_".join(word for word in words if word)[:100]
    return name if name[:1].isalpha() else f"layer_{name}".rstrip("_")


def all_different(names: Iterable[str]) -> list[str]:
    """The same names in order, a number added to one that was there before, case aside."""
    seen: set[str] = set()
    result = []
    for name in names:
        new, number = name, 1
        while new.lower() in seen:
            number += 1
            new = f"{name}_{number}"
        seen.add(new.lower())
        result.append(new)
    return result


def choose(things: Sequence[Thing], names: Sequence[str], only: Sequence[str], what: str) -> list[Thing]:
    """Those that one of ``only`` names, as they are called or as a file would be; all where it is empty.

    ``*`` stands for any letters; where several have a name, their files' have numbers: ``rnn_2``. Raises
    CompileError E708 for one that names nothing. ``what``: the things in one word, for the message.
    """
    if not only:
        return list(things)
    both = list(zip(names, all_different(map(file_name, names)), strict=True))
    for wanted in only:
        if not any(_called(wanted, *pair) for pair in both):
            listed = ", ".join(shown(name) for name in names[:12]) + (", ..." if len(names) > 12 else "")
            raise fail("E708", f"there is no {what} called '{shown(wanted)}'", help=f"there are {listed}")
    chosen = zip(things, both, strict=True)
    return [thing for thing, pair in chosen if any(_called(wanted, *pair) for wanted in only)]


def _called(wanted: str, name: str, as_file: str) -> bool:
    return wanted == name or fnmatchcase(name, wanted) or fnmatchcase(as_file, wanted)
