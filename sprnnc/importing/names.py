"""Names of files and models, made from names of modules."""

from __future__ import annotations

import re
from collections.abc import Iterable


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
