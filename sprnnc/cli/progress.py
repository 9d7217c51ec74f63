"""Shows what long work is doing, where somebody watches."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console


@contextmanager
def progress(work: str) -> Iterator[Callable[[str], None]]:
    """A spinner on stderr that reads ``work: stage``; nothing at all if stderr is not a terminal.

    The value it yields takes the name of the stage that begins.
    """
    if not sys.stderr.isatty():
        yield lambda stage: None
        return
    with Console(stderr=True).status(work) as status:
        yield lambda stage: status.update(f"{work}: {stage}")
