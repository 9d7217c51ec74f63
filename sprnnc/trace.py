"""Observes the pipeline: announces each stage, and writes its text where ``--dump-ir`` asks for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sprnn_runtime.container import write_file
from sprnn_runtime.errors import SprnnError

from sprnnc.diagnostics import fail

# Stages in pipeline order; the number in a dump's name is the place in this list.
STAGES = (
    "parse",
    "check",
    "phases",
    "choose",
    "weights",
    "partition",
    "layout",
    "schedule",
    "render",
    "build",
    "artifact",
    "network",
)


class Trace:
    """Calls ``progress`` with the name of each stage, and dumps texts as ``NN_stage.txt`` into ``folder``.

    A dump is written whole or not at all, and dumps that an earlier run left there are removed first.
    """

    def __init__(self, folder: Path | None, progress: Callable[[str], None] | None) -> None:
        self._folder = folder
        self._progress = progress
        if folder is not None:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                _remove_dumps(folder)
            except OSError as error:
                raise fail("E502", f"cannot write dumps to {folder}: {error}") from error

    def of_layer(self, name: str) -> Trace:
        """The same for one layer of a network, whose dumps lie in a folder of its own."""
        folder = self._folder / name if self._folder is not None else None
        progress = self._progress
        return Trace(folder, (lambda stage: progress(f"{name}: {stage}")) if progress is not None else None)

    @contextmanager
    def stage(self, name: str) -> Iterator[Callable[[str], None]]:
        """Runs one stage; the value it yields dumps the stage's text."""
        if self._progress:
            self._progress(name)
        yield lambda text: self._dump(name, text)

    def _dump(self, name: str, text: str) -> None:
        if self._folder is None:
            return
        path = self._folder / f"{STAGES.index(name) + 1:02d}_{name}.txt"
        try:
            write_file(path, text.encode())
        except SprnnError as error:
            raise fail("E502", error.message) from error


def _remove_dumps(folder: Path) -> None:
    """Dumps of an earlier run: where this run stops early, they would pass for its own."""
    for name in STAGES:
        for stale in folder.glob(f"[0-9][0-9]_{name}.txt"):
            stale.unlink()
