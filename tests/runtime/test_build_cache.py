"""The build cache: whole entries or none, bounded, and shared by any number of processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from sprnn_runtime import InputError
from sprnn_runtime.build_cache import Build, BuildCache, key_of

KEY = key_of("a source", "a compiler")


class Builder:
    """Builds one thing, and counts how often."""

    def __init__(self, code: bytes = b"code" * 100, seconds: float = 0) -> None:
        self.times, self._code, self._seconds = 0, code, seconds

    def __call__(self) -> Build:
        self.times += 1
        time.sleep(self._seconds)
        return Build(self._code, b"a note")


def fetch(cache: BuildCache, build: Builder, key: str = KEY) -> Build:
    return cache.fetch("test", key, ".bin", build)


@pytest.fixture
def cache(tmp_path: Path) -> BuildCache:
    return BuildCache(tmp_path / "cache", 1 << 20)


def entries(cache: BuildCache) -> list[Path]:
    return sorted(cache.folder.iterdir())


def test_what_was_built_is_built_once(cache: BuildCache) -> None:
    build = Builder()
    for _ in range(3):
        got = fetch(cache, build)
        assert (got.code, got.note) == (b"code" * 100, b"a note")
        assert got.path is not None and got.path.read_bytes().startswith(got.code)
    assert build.times == 1
    assert entries(cache) == [cache.folder / f"test-{KEY}.bin"]


def test_keys_tell_parts_apart() -> None:
    different = [
        ("ab", "c"),
        ("a", "bc"),
        ("a\0", "bc"),
        ("a", "\0bc"),
        ("a\0bc",),
        ("a\\0bc",),
        ("ab", "c", ""),
    ]
    assert len({key_of(*parts) for parts in different}) == len(different)


def test_every_damaged_byte_is_noticed_and_mended(cache: BuildCache) -> None:
    build = Builder(b"short")
    (path,) = (fetch(cache, build).path,)
    assert path is not None
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        assert fetch(cache, build).code == b"short"
        assert path.read_bytes() == whole
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert fetch(cache, build).code == b"short"
    assert build.times == 1 + 2 * len(whole)


def test_an_entry_under_another_name_is_none(cache: BuildCache) -> None:
    path = fetch(cache, Builder(b"one")).path
    assert path is not None
    other = key_of("another source")
    path.rename(cache.folder / f"test-{other}.bin")
    assert fetch(cache, Builder(b"two"), other).code == b"two"


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    large, keys = BuildCache(tmp_path, 1 << 20), [key_of(str(i)) for i in range(9)]
    ages = (40, 10, 70, 30, 60, 20, 80, 50)
    for age, key in zip(ages, keys, strict=False):
        path = fetch(large, Builder(bytes(1000)), key).path
        assert path is not None
        os.utime(path, (time.time() - age, time.time() - age))
    fetch(large, Builder(), keys[6])  # the oldest is used again
    (tmp_path / "mine.txt").write_bytes(bytes(5000))  # not of the cache
    fetch(BuildCache(tmp_path, 4 * 1100), Builder(bytes(1000)), keys[8])
    kept = {p.name[5:69] for p in tmp_path.glob("test-*")}
    assert kept == {keys[1], keys[5], keys[6], keys[8]}
    assert (tmp_path / "mine.txt").exists()


def test_nothing_is_kept_where_nothing_may_be(tmp_path: Path) -> None:
    cache, build = BuildCache(tmp_path, 0), Builder()
    assert fetch(cache, build).code == fetch(cache, build).code == b"code" * 100
    assert build.times == 2 and entries(cache) == []


def test_what_a_killed_process_left_goes_after_a_day(cache: BuildCache) -> None:
    cache.folder.mkdir()
    old, young = (cache.folder / f".test-{KEY}.bin.{c * 16}" for c in "ab")
    for path, hours in ((old, 25), (young, 23)):
        path.write_bytes(b"half")
        os.utime(path, (time.time() - hours * 3600, time.time() - hours * 3600))
    fetch(cache, Builder())
    assert not old.exists() and young.exists()


def test_a_folder_that_cannot_be_written_is_read(cache: BuildCache, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch(cache, Builder(b"kept"))

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("read-only")

    for function in ("utime", "replace"):
        monkeypatch.setattr(os, function, refuse)
    for method in ("mkdir", "write_bytes"):
        monkeypatch.setattr(Path, method, refuse)
    assert fetch(cache, Builder(b"other")).code == b"kept"
    made = fetch(cache, Builder(b"new"), key_of("new"))
    assert (made.code, made.path) == (b"new", None)


def test_a_full_folder_leaves_nothing_half_written(
    cache: BuildCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes) -> None:
        path.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    made = fetch(cache, Builder(b"new"))
    assert (made.code, made.path) == (b"new", None)
    assert entries(cache) == []


def test_what_a_builder_raises_goes_through_and_leaves_nothing(cache: BuildCache) -> None:
    def interrupted() -> Build:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.fetch("test", KEY, ".bin", interrupted)
    assert entries(cache) == []


def test_threads_wait_for_the_one_that_builds(cache: BuildCache) -> None:
    build, got = Builder(seconds=0.1), []
    threads = [threading.Thread(target=lambda: got.append(fetch(cache, build))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert build.times == 1 and [g.code for g in got] == [b"code" * 100] * 8


def test_nobody_waits_for_ever(cache: BuildCache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sprnn_runtime.build_cache._WAIT_SECONDS", 0.1)
    inside, done = threading.Event(), threading.Event()

    def stopped() -> Build:
        inside.set()
        done.wait(30)
        return Build(b"late")

    holder = threading.Thread(target=lambda: cache.fetch("test", KEY, ".bin", stopped))
    holder.start()
    inside.wait(30)
    try:
        assert fetch(cache, Builder(b"early")).code == b"early"
    finally:
        done.set()
        holder.join()


@pytest.mark.parametrize("text", ["-1", "1.5", "many", "1e3", "1" * 20])
def test_a_size_that_is_none(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("SPRNNC_CACHE_MIB", text)
    with pytest.raises(InputError, match="SPRNNC_CACHE_MIB") as error:
        BuildCache.of_user()
    assert error.value.code == "E619"


def test_folder_and_size_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SPRNNC_CACHE", str(tmp_path))
    monkeypatch.setenv("SPRNNC_CACHE_MIB", "0")
    fetch(BuildCache.of_user(), Builder())
    assert not list(tmp_path.iterdir())
    monkeypatch.setenv("SPRNNC_CACHE_MIB", "1")
    fetch(BuildCache.of_user(), Builder())
    assert len(list(tmp_path.iterdir())) == 1
    monkeypatch.delenv("SPRNNC_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert BuildCache.of_user().folder == tmp_path / "xdg" / "sprnnc"


# 16 processes, which begin together when the last of them is ready.
AT_ONCE = '''
import hashlib, json, os, sys
import numpy as np
import cuda.core
import sprnnc
from sprnn_runtime.layer import open_layer

TEXT = """
cell Ring(H) {
  input  x[H]
  state  h[H]
  weight U[H, H]  sparse(0.3)
  h' = tanh(x + U @ h)
  output h'
}
model ring { layer main = Ring(H=24) }
"""
count = int(sys.argv[1])
ready, go = os.pipe(), os.pipe()
results = os.pipe()

def compiled(target):
    return sprnnc.compile(TEXT, random_weights=1, target=target, schedule={"blocks": 2, "threads": 32})

compiled("sim")  # imports and grammars once for all; it builds nothing

def work():
    os.close(go[1])
    os.write(ready[1], b".")
    os.read(go[0], 1)
    made = compiled("sm_90")
    x = np.random.default_rng(0).standard_normal((3, 1, 24)).astype(np.float32)
    with open_layer(made.loaded(), "sim") as layer:
        y, _ = layer(x)
    wanted = sprnnc.execute(made, x, device="reference").y
    error = float(np.abs(y - wanted).max())
    line = json.dumps([hashlib.sha256(made.to_bytes()).hexdigest(), hashlib.sha256(y).hexdigest(), error])
    os.write(results[1], line.encode() + b"\\n")

children = []
for _ in range(count):
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
    children.append(child)
os.close(results[1])
for _ in range(count):
    os.read(ready[0], 1)
os.close(go[1])  # all of them read the end of the file
codes = [os.waitpid(c, 0)[1] for c in children]
with os.fdopen(results[0]) as lines:
    print(json.dumps([codes, [json.loads(line) for line in lines]]))
'''


def test_sixteen_processes_at_once_give_one_entry_and_sixteen_right_answers(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", AT_ONCE, "16"],
        env={**os.environ, "SPRNNC_CACHE": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    codes, results = json.loads(done.stdout)
    assert codes == [0] * 16, done.stderr
    assert len(results) == 16
    assert len({(made, y) for made, y, _ in results}) == 1  # the same artifacts, and the same outputs
    assert all(error < 1e-6 for _, _, error in results)
    left = sorted(p.name.partition("-")[0] for p in tmp_path.iterdir())
    assert left == ["cubin", "sim"]


# Eight processes that use, damage and evict each other's entries: nobody gets anything but what it asked for.
STORM = """
import os, random, sys
from pathlib import Path
from sprnn_runtime.build_cache import Build, BuildCache, key_of

folder, seed = Path(sys.argv[1]), int(sys.argv[2])
draw = random.Random(seed)
cache = BuildCache(folder, 3000)
for _ in range(300):
    number = draw.randrange(8)
    code = bytes([number]) * 800
    got = cache.fetch("test", key_of(str(number)), ".bin", lambda: Build(code, str(number).encode()))
    assert (got.code, got.note) == (code, str(number).encode())
    if draw.random() < 0.1:
        try:
            with open(folder / f"test-{key_of(str(draw.randrange(8)))}.bin", "r+b") as file:
                file.seek(draw.randrange(840))
                file.write(b"?")
        except FileNotFoundError:
            pass
"""


def test_a_storm_of_processes_that_evict_and_damage(tmp_path: Path) -> None:
    running = [
        subprocess.Popen(
            [sys.executable, "-c", STORM, str(tmp_path), str(seed)], stderr=subprocess.PIPE, text=True
        )
        for seed in range(8)
    ]
    for process in running:
        _, text = process.communicate(timeout=120)
        assert process.returncode == 0, text
    assert all(p.name.startswith("test-") for p in tmp_path.iterdir())
    BuildCache(tmp_path, 3000).fetch("test", key_of("last"), ".bin", lambda: Build(b"last"))
    assert sum(p.stat().st_size for p in tmp_path.iterdir()) <= 3000
