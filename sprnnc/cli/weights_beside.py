"""Finds the weights of a ``.sprnn`` file that a command was given alone."""

from __future__ import annotations

from pathlib import Path

from sprnnc.diagnostics import fail

SUFFIXES = (".safetensors", ".npz")


def weights_beside(source: Path, help: str = "name them with --weights") -> Path:
    """The one weight file with the name of ``source``.

    Raises CompileError E101 where ``source`` itself is missing, E713 where there is not one such file.
    """
    if not source.exists():
        raise fail("E101", f"there is no file {source}", help="give a .sprnn file, its weights beside it")
    there = [p for p in map(source.with_suffix, SUFFIXES) if p.exists()]
    if len(there) == 1:
        return there[0]
    found = "both are there" if there else "neither is there"
    wanted = " or ".join(str(source.with_suffix(s)) for s in SUFFIXES)
    raise fail("E713", f"the weights of {source} should be {wanted}: {found}", help=help)
