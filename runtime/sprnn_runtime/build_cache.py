"""Built code, kept under a name that stands for everything that went into it.

An entry is one file: the code, a note of its builder, and behind them, where loaders do not look, a seal. It
appears whole, by a rename, and an entry without a good seal is as good as none. All processes of a user may
share a folder. Nothing here is needed: where a folder cannot be used, everything is built again.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from sprnn_runtime.errors import InputError

MOST_MIB = 1024
_SEAL = struct.Struct("<Q32s")  # bytes of the note; SHA-256 of name, code and note
_WAIT_SECONDS = 120.0  # for another process that builds the same
_POLL_SECONDS = 0.02
_ABANDONED_SECONDS = 24 * 3600.0
_KIND_AND_KEY = r"[a-z]+-[0-9a-f]{64}\.[a-z]+"
_ENTRY = re.compile(_KIND_AND_KEY)
_UNFINISHED = re.compile(rf"\.{_KIND_AND_KEY}\.(lock|[0-9a-f]{{16}})")


@dataclass(frozen=True, slots=True)
class Build:
    """``code`` and its builder's ``note``. ``path``: a file that begins with ``code``, if it is kept."""

    code: bytes
    note: bytes = b""
    path: Path | None = None


def key_of(*parts: str) -> str:
    """What names a build: a hash of everything that went into it."""
    return hashlib.sha256("\0".join(map(_escaped, parts)).encode()).hexdigest()


def _escaped(part: str) -> str:
    return part.replace("\\", "\\\\").replace("\0", "\\0")


class BuildCache:
    """Entries in ``folder``, of at most ``most_bytes`` in all; those not used for longest go first."""

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self.folder = folder
        self._most_bytes = most_bytes

    @staticmethod
    def of_user(folder: Path | None = None) -> BuildCache:
        """In ``$SPRNNC_CACHE``, or ``sprnnc`` in the user's cache folder, of ``$SPRNNC_CACHE_MIB``, or 1024.

        Raises InputError E619 for a size that is none.
        """
        return BuildCache(folder or _user_folder(), _user_mib() << 20)

    def fetch(self, kind: str, key: str, suffix: str, build: Callable[[], Build]) -> Build:
        """The entry of ``key``, made by ``build`` where there is none. What ``build`` raises goes through.

        Processes and threads that want the same entry at once wait for the one that builds it.
        """
        name = f"{kind}-{key}{suffix}"
        found = self._find(name)
        if found is not None:
            return found
        with self._alone(name):
            found = self._find(name)  # another may have built it meanwhile
            if found is not None:
                return found
            made = build()
            path = self._keep(name, made)
        return Build(made.code, made.note, path)

    def _find(self, name: str) -> Build | None:
        path = self.folder / name
        try:
            data = path.read_bytes()
            note_bytes, digest = _SEAL.unpack(data[-_SEAL.size :])
        except (OSError, struct.error):
            return None
        body = data[: -_SEAL.size]
        if note_bytes > len(body) or _digest(name, body) != digest:
            return None
        with suppress(OSError):  # it was used; a folder that only others may write to stays as it is
            os.utime(path)
        at = len(body) - note_bytes
        return Build(body[:at], body[at:], path)

    def _keep(self, name: str, made: Build) -> Path | None:
        """Writes an entry, and makes room for it; None where it could not be."""
        path: Path | None = self.folder / name
        body = made.code + made.note
        aside = self.folder / f".{name}.{os.urandom(8).hex()}"
        try:
            aside.write_bytes(body + _SEAL.pack(len(made.note), _digest(name, body)))
            os.replace(aside, self.folder / name)
        except OSError:
            path = None
        finally:  # after a success it is not there any more
            with suppress(OSError):
                aside.unlink()
        self._make_room()
        return path

    def _make_room(self) -> None:
        """Removes entries until they fit, and what processes that ended in the middle left behind."""
        entries = []
        for file, status in self._files():
            if _ENTRY.fullmatch(file.name):
                entries.append((status.st_mtime_ns, file, status.st_size))
            elif _UNFINISHED.fullmatch(file.name) and status.st_mtime < time.time() - _ABANDONED_SECONDS:
                _remove(file)
        total = sum(size for _, _, size in entries)
        for _, file, size in sorted(entries):
            if total <= self._most_bytes:
                return
            _remove(file)
            total -= size

    def _files(self) -> Iterator[tuple[Path, os.stat_result]]:
        """All files; one that another process removes meanwhile is left out."""
        try:
            names = os.listdir(self.folder)
        except OSError:
            return
        for name in names:
            with suppress(OSError):
                yield self.folder / name, (self.folder / name).stat()

    @contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        """Makes others wait who want to build ``name``. It only spares work: without a lock, all build."""
        lock = self.folder / f".{name}.lock"
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = lock.open("ab")
        except OSError:
            yield
            return
        with file:
            _wait_for(file.fileno())
            try:
                yield
            finally:
                _remove(lock)


def _wait_for(descriptor: int) -> None:
    """Takes the lock of a file; gives up on a holder that takes too long, which may have been stopped."""
    deadline = time.monotonic() + _WAIT_SECONDS
    while time.monotonic() < deadline:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            time.sleep(_POLL_SECONDS)
        except OSError:  # a file system without locks
            return


def _digest(name: str, body: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\0" + body).digest()


def _remove(file: Path) -> None:
    with suppress(OSError):  # another process may have removed it
        file.unlink()


def _user_folder() -> Path:
    if chosen := os.environ.get("SPRNNC_CACHE"):
        return Path(chosen)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sprnnc"
    except RuntimeError:  # a user without a home keeps nothing
        return Path(os.devnull, "sprnnc")


def _user_mib() -> int:
    text = os.environ.get("SPRNNC_CACHE_MIB", "")
    if not text:
        return MOST_MIB
    if not (text.isascii() and text.isdigit() and len(text) < 12):
        raise InputError("E619", f"SPRNNC_CACHE_MIB is '{text}'", "give the MiB that built code may take")
    return int(text)
