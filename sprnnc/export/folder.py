"""Writes a folder of files whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from sprnn_runtime.errors import SprnnError

from sprnnc.diagnostics import fail


def check_free(folder: Path) -> None:
    """Raises CompileError E507 where ``folder`` holds something, so that long work is not done in vain."""
    try:
        taken = folder.is_symlink() or (
            folder.exists() and not (folder.is_dir() and not any(folder.iterdir()))
        )
    except OSError as error:
        raise _cannot_write(folder, error) from error
    if taken:
        raise fail(
            "E507",
            f"{folder} is there already, and is not an empty folder",
            help="choose another folder, or remove it: an export replaces nothing",
        )


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Writes ``files`` (relative path: contents), then moves the whole to ``folder``.

    Raises CompileError E507 where it holds something, SprnnError E605 where it cannot be written.
    """
    check_free(folder)
    where = Path(os.path.abspath(folder))
    temporary = where.with_name(f".{where.name[:40]}.{os.urandom(8).hex()}")
    try:
        for name, data in files.items():
            path = temporary / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        os.rename(temporary, where)
    except OSError as error:
        raise _cannot_write(folder, error) from error
    finally:  # after a success it is not there any more
        shutil.rmtree(temporary, ignore_errors=True)


def _cannot_write(folder: Path, error: OSError) -> SprnnError:
    return SprnnError("E605", f"cannot write {folder}: {error}", "nothing was written; choose another folder")
