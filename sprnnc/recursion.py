"""Room for passes that recurse over expressions: a sum of 500 terms is a tree 500 levels deep."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

_FRAMES = 20_000  # of Python alone; a level takes up to eight of them (decoding JSON, printing)


@contextmanager
def room_for_deep_expressions() -> Iterator[None]:
    """Raises Python's recursion limit while it is open; also a decorator."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, _FRAMES))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)
