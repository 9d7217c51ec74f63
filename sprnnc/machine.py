"""What this machine has."""

from __future__ import annotations

import os


def memory_bytes() -> int:
    """Its main memory, all of it."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
