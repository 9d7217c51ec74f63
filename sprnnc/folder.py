"""Writes several files into a folder: all of them, or nothing at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from sprnn_runtime.errors import SprnnError


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Writes ``files`` into ``folder``, made where it is missing; files of the same names are replaced.

    They are written aside and then renamed, so that a full disk leaves nothing half-written.
    Raises SprnnError E605 where that cannot be.
    """
    made = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write_aside(folder, files)
    except OSError as error:
        if made and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
        hint = "nothing was written; choose another folder"
        raise SprnnError("E605", f"cannot write into {folder}: {error}", hint) from error


def _write_aside(folder: Path, files: Mapping[str, bytes]) -> None:
    for name in files:
        if (folder / name).is_dir():
            raise IsADirectoryError(f"{name} is a folder")
    aside = Path(tempfile.mkdtemp(prefix=".sprnnc-", dir=folder))
    try:
        for name, data in files.items():
            (aside / name).write_bytes(data)
        for name in files:
            os.replace(aside / name, folder / name)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
