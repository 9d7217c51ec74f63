"""What the process tells its caller."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes of ``sprnnc``; scripts may rely on them."""

    OK = 0
    USER_ERROR = 1
    USAGE = 2
    CHECK_FAILED = 3
    INTERNAL_ERROR = 70  # EX_SOFTWARE of sysexits.h
    INTERRUPTED = 130  # 128 + SIGINT, as a shell reports it
    BROKEN_PIPE = 141  # 128 + SIGPIPE
