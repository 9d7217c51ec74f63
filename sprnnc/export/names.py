"""Names of an export in C, where those of a network hold dots and colons."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from sprnn_runtime.manifest import Buffer, Role

from sprnnc.export.whole import Whole

_STREAMS = (Role.INPUT, Role.OUTPUT, Role.SCRATCH)


def identifiers(names: Iterable[str]) -> dict[str, str]:
    """``a_b`` for ``a.b``, and a number behind it where that is taken."""
    found: dict[str, str] = {}
    for name in names:
        word = base = re.sub(r"\W", "_", name)
        number = 1
        while word in found.values():
            number += 1
            word = f"{base}_{number}"
        found[name] = word
    return found


def fields(whole: Whole) -> Mapping[str, str]:
    """What holds each buffer in C: by its name alone, in a network by what it is."""
    if not whole.is_network:
        return {b.name: b.name for b in whole.buffers}
    named = {b.name: _readable(b, whole) for b in whole.buffers}
    words = identifiers(named.values())
    return {name: words[readable] for name, readable in named.items()}


def _readable(buffer: Buffer, whole: Whole) -> str:
    if buffer.role is Role.LENGTHS:
        return "lengths"
    between = buffer.role in _STREAMS and buffer.name not in whole.most_steps
    return f"stream_{buffer.name}" if between else buffer.name
