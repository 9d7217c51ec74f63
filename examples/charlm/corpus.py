"""The text: Python's own standard library, as it lies beside the interpreter that runs."""

from __future__ import annotations

import platform
import sysconfig
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Symbols = NDArray[np.uint8]

# Symbol 0 stands for any character that is not here, such as letters beyond ASCII.
_OTHER = "\x00"
ALPHABET = _OTHER + "\n" + "".join(map(chr, range(32, 127)))
_SYMBOL_OF = {character: symbol for symbol, character in enumerate(ALPHABET)}
# Tests are not installed everywhere; the others are tables, or no part of the library.
_LEFT_OUT = {"test", "tests", "idle_test", "encodings", "lib2to3", "site-packages", "dist-packages"}
_HELD_OUT_ONE_IN = 16


@dataclass(frozen=True, slots=True, eq=False)
class Corpus:
    """Symbols [characters] of the two parts; no file is in both. ``python``: whose library it is."""

    training: Symbols
    heldout: Symbols
    files: int
    heldout_files: int
    python: str


def encode(text: str) -> Symbols:
    """Symbols [characters]; a tab is four spaces."""
    return np.array([_SYMBOL_OF.get(c, 0) for c in text.expandtabs(4)], np.uint8)


def decode(symbols: Symbols) -> str:
    """What ``encode`` made symbols of; a question mark for what is not in the alphabet."""
    return "".join(ALPHABET[s] for s in symbols).replace(_OTHER, "?")


def read_corpus(root: Path | None = None, most_characters: int | None = None) -> Corpus:
    """The library of the running interpreter, or the ``.py`` files of another folder.

    ``most_characters`` cuts the training part short. Raises SystemExit where there is too little text.
    """
    root = root or Path(sysconfig.get_paths()["stdlib"])
    files = sorted(
        _sources(root), key=lambda name: zlib.crc32(name.encode())
    )  # no neighbours beside each other
    parts: dict[bool, list[str]] = {False: [], True: []}
    for name in files:
        parts[is_held_out(name)].append((root / name).read_text("utf-8", errors="replace"))
    training, heldout = (encode("\n".join(parts[part])) for part in (False, True))
    if min(len(training), len(heldout)) < 10_000:
        raise SystemExit(f"{root} holds too little Python source to learn from; give --text FOLDER")
    return Corpus(
        training[:most_characters], heldout, len(files), len(parts[True]), platform.python_version()
    )


def is_held_out(name: str) -> bool:
    """Whether a file, by its path below the library, is kept from training: the same on every machine."""
    return zlib.crc32(name.encode()) % _HELD_OUT_ONE_IN == 0


def _sources(root: Path) -> Iterator[str]:
    for path in root.rglob("*.py"):
        name = path.relative_to(root)
        if not _LEFT_OUT & set(name.parts) and not name.name.startswith("_sysconfigdata"):
            yield name.as_posix()
