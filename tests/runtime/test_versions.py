"""Artifacts of other versions: what was kept still runs, what is newer is read or refused; every byte counts.

``kept/`` holds one artifact for each minor version of the format, as it was written then. Where the version
is bumped, add another, with the version in its name:

    sprnnc compile tests/runtime/kept/fed.sprnn --random-weights 1 --batch 2 -o fed_1_2.sprnnx
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sprnn_runtime
from sprnn_runtime import container, manifest
from sprnn_runtime.errors import ArtifactError, InputError
from sprnn_runtime.layer import open_layer
from sprnn_runtime.loaded import read

import sprnnc

BEFORE_LENGTHS = ("fed_1_1", "ring_1_0")
KEPT = sorted((Path(__file__).parent / "kept").glob("*.sprnnx"))
STEPS, BATCH, SIZE = 12, 2, 12


@pytest.fixture(params=KEPT, ids=lambda p: p.stem)
def kept(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


@pytest.fixture
def bumped(monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """The version that this runtime and compiler now claim to be of."""
    version = (manifest.VERSION[0], manifest.VERSION[1] + 1)
    monkeypatch.setattr(manifest, "VERSION", version)
    return version


def equations(data: bytes, x: np.ndarray) -> np.ndarray:
    """h' = tanh(W @ x + U @ h + b) in float64, from the tensors of the file; the compiler is not asked."""
    _, members = container.unpack(data, "here")
    found = {
        name: container.array_from_bytes(members[f"tensors/{name}.npy"], "here").astype(float)
        for name in "WUb"
        if f"tensors/{name}.npy" in members
    }
    w, u, b = found.get("W", np.eye(SIZE)), found["U"], found["b"]
    h, y = np.zeros((BATCH, SIZE)), []
    for step in x.astype(float):
        h = np.tanh(step @ w.T + h @ u.T + b)
        y.append(h)
    return np.array(y)


def assert_runs(data: bytes) -> None:
    x = np.random.default_rng(5).standard_normal((STEPS, BATCH, SIZE)).astype(np.float32)
    with open_layer(read(data, "here"), "sim") as layer:
        y, state = layer(x)  # in three launches
    np.testing.assert_allclose(y, equations(data, x), rtol=0, atol=1e-6)
    np.testing.assert_array_equal(state["h"], y[-1])


def changed(data: bytes, version: tuple[int, int]) -> bytes:
    """The artifact as another version might write it: with fields and members that nobody here knows."""
    about, members = container.unpack(data, "here")
    about["version"] = list(version)
    about["later"] = {"of": ["any", "kind"]}
    for entry in (*about["buffers"], *about["kernels"], *about["inputs"], *about["states"]):
        entry["later"] = 1
    return container.pack(about, {**members, "later.bin": b"\0\1", "tensors.txt": b""})


def test_there_is_one_of_this_version() -> None:
    major, minor = manifest.VERSION
    found = [p for p in KEPT if p.stem.endswith(f"_{major}_{minor}")]
    assert found, "the format changed: see the top of this file"


def test_one_that_was_kept_runs(kept: Path) -> None:
    about, members = container.unpack(kept.read_bytes(), "here")
    assert kept.stem.endswith("_{}_{}".format(*about["version"]))
    assert members["kernel.sm_90.cubin"].startswith(b"\x7fELF")
    assert_runs(kept.read_bytes())


@pytest.mark.parametrize("name", BEFORE_LENGTHS)
def test_one_from_before_lengths_refuses_them_and_fewer_columns(name: str) -> None:
    data = (Path(__file__).parent / "kept" / f"{name}.sprnnx").read_bytes()
    x = np.zeros((STEPS, BATCH, SIZE), np.float32)
    with open_layer(read(data, "here"), "sim") as layer:
        with pytest.raises(InputError, match="takes no lengths") as refused:
            layer(x, lengths=[3] * BATCH)
        assert refused.value.help.startswith("compile it again")
        with pytest.raises(InputError, match=f"1 columns, and this artifact runs {BATCH} only"):
            layer(x[:, :1])


def test_one_that_was_kept_runs_in_a_newer_runtime(kept: Path, bumped: tuple[int, int]) -> None:
    assert_runs(kept.read_bytes())
    assert sprnn_runtime.load(kept, "sim").manifest.to_json()["version"] == list(bumped)


def test_a_newer_one_runs_in_this_runtime(kept: Path) -> None:
    newer = changed(kept.read_bytes(), (manifest.VERSION[0], manifest.VERSION[1] + 1))
    assert_runs(newer)
    assert read(newer, "here").manifest == read(kept.read_bytes(), "here").manifest


def test_one_that_a_newer_compiler_writes_runs(
    bumped: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = sprnnc.compile(
        KEPT[0].with_name("fed.sprnn"), random_weights=1, batch=BATCH, target="sim"
    ).to_bytes()
    assert container.unpack(made, "here")[0]["version"] == list(bumped)
    monkeypatch.undo()
    assert_runs(made)


@pytest.mark.parametrize("major", [-1, 1])
def test_another_major_version_is_refused_and_named(kept: Path, tmp_path: Path, major: int) -> None:
    wanted = manifest.VERSION[0] + major
    path = tmp_path / "other.sprnnx"
    path.write_bytes(changed(kept.read_bytes(), (wanted, 0)))
    for load in (sprnn_runtime.load, sprnnc.Artifact.load):
        with pytest.raises(ArtifactError) as error:
            load(path)
        assert error.value.code == "E606"
        assert f"artifact format {wanted} is not the {manifest.VERSION[0]}" in error.value.message
        assert "compile it again" in error.value.help


def test_the_plan_of_another_compiler_is_not_called_damaged(kept: Path, tmp_path: Path) -> None:
    def with_other_plan(compiler: str) -> ArtifactError:
        about, members = container.unpack(kept.read_bytes(), "here")
        plan = json.loads(members["plan.json"])
        del plan["choices"]
        about["compiler"] = compiler
        (tmp_path / "a.sprnnx").write_bytes(
            container.pack(about, members | {"plan.json": json.dumps(plan).encode()})
        )
        with pytest.raises(ArtifactError) as error:
            sprnnc.Artifact.load(tmp_path / "a.sprnnx")
        return error.value

    other = with_other_plan("9.9")
    assert other.code == "E606" and "sprnnc 9.9" in other.message and "sprnn_runtime.load" in other.help
    assert_runs((tmp_path / "a.sprnnx").read_bytes())
    assert with_other_plan(sprnnc.__version__).code == "E603"


def test_every_byte_counts(kept: Path) -> None:
    """Every byte of a small artifact, one bit and all bits, before anything that it says is believed."""
    about, members = container.unpack(kept.read_bytes(), "here")
    del members["kernel.sm_90.cubin"]
    small = members | {"kernel.cu": b"#error built although it must not be\n"}
    whole = container.pack(about, small)
    assert read(whole, "here").cubin is None
    data = bytearray(whole)
    for at in range(len(data)):
        for bits in (1 << at % 8, 0xFF):
            data[at] ^= bits
            with pytest.raises(ArtifactError) as error:
                read(bytes(data), "here")
            assert error.value.code == "E603"
            data[at] ^= bits
    assert bytes(data) == whole


COMPILE = """
import sys
import sprnnc
made = sprnnc.compile(sys.argv[1], random_weights=1, batch=2, target="sm_90")
made.save(sys.argv[2])
"""


def test_two_processes_write_the_same_bytes(tmp_path: Path) -> None:
    """With other orders of sets, other caches and other folders."""
    made = []
    for seed in ("1", "2"):
        folder = tmp_path / seed
        folder.mkdir()
        environment = {**os.environ, "PYTHONHASHSEED": seed, "SPRNNC_CACHE": str(folder / "cache")}
        command = [sys.executable, "-c", COMPILE, str(KEPT[0].with_name("fed.sprnn")), "a.sprnnx"]
        subprocess.run(command, cwd=folder, env=environment, check=True)
        made.append((folder / "a.sprnnx").read_bytes())
    assert made[0] == made[1]
    assert b"kernel.sm_90.cubin" in made[0]


def test_the_docs_show_the_layout(kept: Path) -> None:
    """What docs/runtime.md says of members and fields is what is there."""
    page = (Path(__file__).parents[2] / "docs/runtime.md").read_text(encoding="utf-8")
    about, members = container.unpack(kept.read_bytes(), "here")
    shown = set(re.findall(r"`([^`]+)`", "\n".join(re.findall(r"^\| (.*?) \|", page, re.M))))
    patterns = [re.escape(s).replace("NAME", r"\w+").replace("ARCH", r"sm_\d+") for s in shown]
    unknown: list[Any] = [m for m in members if not any(re.fullmatch(p, m) for p in patterns)]
    unknown += [f for f in about if f not in shown]
    assert unknown == []
