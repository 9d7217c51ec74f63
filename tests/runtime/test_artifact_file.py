"""The artifact file: the same bytes every time, whole or not there, and refused when a byte is wrong."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sprnn_runtime
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib import format as npy
from small_layer import compile_lstm
from sprnn_runtime import container
from sprnn_runtime.errors import ArtifactError, SprnnError
from sprnn_runtime.loaded import read

import sprnnc

Edit = Callable[[dict[str, Any]], None]


def rewritten(data: bytes, edit: Edit) -> bytes:
    """The artifact with its manifest changed and every checksum right again."""
    manifest, members = container.unpack(data, "here")
    edit(manifest)
    return container.pack(manifest, members)


def sealed(body: bytes) -> bytes:
    return body + hashlib.sha256(body).digest()


def refusal(data: bytes) -> str:
    with pytest.raises(ArtifactError) as error:
        read(data, "layer.sprnnx")
    return error.value.code


def test_the_same_input_gives_the_same_bytes(artifact: sprnnc.Artifact, path: Path) -> None:
    assert compile_lstm().to_bytes() == artifact.to_bytes() == path.read_bytes()


def test_an_artifact_comes_back_as_it_was(artifact: sprnnc.Artifact, path: Path, x: np.ndarray) -> None:
    again = sprnnc.Artifact.load(path)
    assert again.manifest == artifact.manifest
    assert again.model == artifact.model
    assert again.plan == artifact.plan
    assert again.kernel_source == artifact.kernel_source
    assert again.source_text == artifact.source_text
    assert again.cubin is None and artifact.cubin is None
    for mine, theirs in ((artifact.tensors, again.tensors), (artifact.packed, again.packed)):
        assert mine.keys() == theirs.keys()
        assert all(np.array_equal(mine[n], theirs[n]) and mine[n].dtype == theirs[n].dtype for n in mine)
    assert again.to_bytes() == artifact.to_bytes()
    for device in ("sim", "plan", "reference"):
        before, after = (sprnnc.execute(a, x, device=device) for a in (artifact, again))
        np.testing.assert_array_equal(before.y, after.y)


def test_every_flipped_byte_is_noticed_before_anything_is_built(
    without_sim_code: sprnnc.Artifact, tmp_path: Path
) -> None:
    whole = without_sim_code.to_bytes()
    for at in {*range(0, len(whole), max(1, len(whole) // 300)), *range(len(whole) - 40, len(whole))}:
        changed = bytearray(whole)
        changed[at] ^= 1 << at % 8
        assert refusal(bytes(changed)) == "E603"
    (tmp_path / "x.sprnnx").write_bytes(changed)
    with pytest.raises(ArtifactError, match="truncated or was changed"):
        sprnn_runtime.load(tmp_path / "x.sprnnx", "sim")
    with pytest.raises(ArtifactError, match="truncated or was changed"):
        sprnnc.Artifact.load(tmp_path / "x.sprnnx")


def test_every_truncation_is_noticed(artifact: sprnnc.Artifact) -> None:
    whole = artifact.to_bytes()
    for length in {0, 1, 31, 32, 33, len(whole) - 1, *range(0, len(whole), len(whole) // 40)}:
        assert refusal(whole[:length]) == "E603"


def test_a_byte_changed_under_a_right_outer_checksum_is_noticed(artifact: sprnnc.Artifact) -> None:
    body = artifact.to_bytes()[:-32]
    at = body.index(b"#pragma unroll")
    assert refusal(sealed(body[:at] + b"!" + body[at + 1 :])) == "E603"


@settings(max_examples=100)
@given(st.data())
def test_a_forged_container_is_refused_or_read(data: st.DataObject) -> None:
    manifest = {"format": "sprnnx", "version": [1, 0]}
    body = bytearray(container.pack(manifest, {"a": b"some bytes", "b": b""})[:-32])
    for at in data.draw(st.lists(st.integers(0, len(body) - 1), min_size=1, max_size=4)):
        body[at] = data.draw(st.integers(0, 255))
    try:
        _, members = container.unpack(sealed(bytes(body)), "here")
    except ArtifactError as error:
        assert error.code == "E603"
    else:
        assert members == {"a": b"some bytes", "b": b""}


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, "[1]", "null", '{"files": 3}', '{"files": "ab"}', "{}", "\xff"],
    ids=lambda text: text[:12],
)
def test_a_manifest_that_is_no_manifest(text: str) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("manifest.json", text.encode("latin-1"))
    assert refusal(sealed(buffer.getvalue())) == "E603"


def test_compressed_members_are_refused() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", json.dumps({"files": {"a": ""}}))
        archive.writestr("a", bytes(10_000))
    assert refusal(sealed(buffer.getvalue())) == "E603"


def drop(name: str) -> Edit:
    return lambda manifest: manifest.pop(name)


def put(name: str, value: Any) -> Edit:
    return lambda manifest: manifest.update({name: value})


def change(kind: str, index: int, name: str, value: Any) -> Edit:
    return lambda manifest: manifest[kind][index].update({name: value})


@pytest.mark.parametrize(
    ("edit", "code"),
    [
        (put("version", [2, 0]), "E606"),
        (put("version", [0, 9]), "E606"),
        (put("version", []), "E606"),
        (put("version", 1), "E606"),
        (drop("version"), "E606"),
        (put("version", [True, 0]), "E606"),
        (put("version", [1.0, 0]), "E606"),
        (put("version", [1, "0"]), "E606"),
        (put("version", [1]), "E606"),
        (put("version", [1, -1]), "E606"),
        (put("batch", 1 << 40), "E603"),
        (put("steps_per_launch", 10**400), "E603"),
        (change("buffers", 0, "shape", ["T", 1 << 30, 1 << 30]), "E603"),
        (change("buffers", 0, "dtype", "O"), "E603"),
        (change("buffers", 1, "name", "x"), "E603"),
        (change("kernels", 0, "block", 2048), "E603"),
        (change("kernels", 0, "shared_bytes", -1), "E603"),
        (change("kernels", 0, "shared_bytes", 1e400), "E603"),
        (change("kernels", 0, "cooperative", "no"), "E603"),
        (put("resources", {"recurrence": {"registers": 1e400, "shared_bytes": 0, "spill_bytes": 0}}), "E603"),
        (put("format", "zip"), "E606"),
        (drop("batch"), "E603"),
        (put("batch", 0), "E603"),
        (put("batch", True), "E603"),
        (put("inputs", 3), "E603"),
        (put("buffers", [1]), "E603"),
        (put("resources", []), "E603"),
        (change("buffers", 0, "role", "thief"), "E603"),
        (change("buffers", 0, "dtype", "nonsense"), "E603"),
        (change("buffers", 0, "shape", ["T", -1]), "E603"),
        (change("buffers", -1, "shape", [3]), "E603"),
        (change("buffers", -1, "member", "packed/none.npy"), "E603"),
        (change("buffers", -1, "dtype", "float64"), "E603"),
        (change("kernels", 0, "args", ["nothing"]), "E603"),
        (change("kernels", 0, "name", "k); system("), "E603"),
        (change("kernels", 0, "grid", 0), "E603"),
    ],
)
def test_a_manifest_that_this_runtime_does_not_take(artifact: sprnnc.Artifact, edit: Edit, code: str) -> None:
    assert artifact.manifest.buffers[-1].role.value == "constant"
    assert refusal(rewritten(artifact.to_bytes(), edit)) == code


def resealed(data: bytes, change: Callable[[dict[str, Any], dict[str, bytes]], None]) -> bytes:
    """The artifact with manifest and members changed and every checksum right again."""
    manifest, members = container.unpack(data, "here")
    change(manifest, members)
    return container.pack(manifest, members)


def other_batch(manifest: dict[str, Any], members: dict[str, bytes]) -> None:
    manifest["batch"] = 1


def other_state(manifest: dict[str, Any], members: dict[str, bytes]) -> None:
    manifest["states"][0]["size"] += 1


def tensor_missing(manifest: dict[str, Any], members: dict[str, bytes]) -> None:
    del members["tensors/bi.npy"]


def tensor_of_another_shape(manifest: dict[str, Any], members: dict[str, bytes]) -> None:
    members["tensors/bi.npy"] = container.array_bytes(np.zeros(7, np.float32))


def tensor_of_another_type(manifest: dict[str, Any], members: dict[str, bytes]) -> None:
    array = container.array_from_bytes(members["tensors/bi.npy"], "here")
    members["tensors/bi.npy"] = container.array_bytes(array.astype(np.float64))


@pytest.mark.parametrize(
    "change", [other_batch, other_state, tensor_missing, tensor_of_another_shape, tensor_of_another_type]
)
def test_parts_that_contradict_each_other(
    artifact: sprnnc.Artifact, tmp_path: Path, change: Callable[..., None]
) -> None:
    path = tmp_path / "forged.sprnnx"
    path.write_bytes(resealed(artifact.to_bytes(), change))
    with pytest.raises(ArtifactError) as error:
        sprnnc.Artifact.load(path)
    assert error.value.code == "E603"


def test_a_newer_minor_version_with_unknown_fields_loads(artifact: sprnnc.Artifact) -> None:
    def newer(manifest: dict[str, Any]) -> None:
        manifest["version"] = [1, 7]
        manifest["colour"] = {"of": "the bikeshed"}
        for entry in (*manifest["buffers"], *manifest["kernels"], *manifest["inputs"]):
            entry["later"] = 1

    assert read(rewritten(artifact.to_bytes(), newer), "here").manifest == artifact.manifest


@pytest.mark.parametrize("name", ["model.json", "plan.json", "source.sprnn", "kernel.cu"])
def test_a_member_that_is_missing_or_cannot_be_read(
    artifact: sprnnc.Artifact, tmp_path: Path, name: str
) -> None:
    manifest, members = container.unpack(artifact.to_bytes(), "here")
    for content in (None, b"\xff", b"[" * 100_000, b'{"is": "Model"}'):
        if content is not None and name in ("source.sprnn", "kernel.cu") and content != b"\xff":
            continue  # any text will do
        kept = {n: m for n, m in members.items() if n != name} | ({name: content} if content else {})
        (tmp_path / "x.sprnnx").write_bytes(container.pack(manifest, kept))
        with pytest.raises(ArtifactError) as error:
            sprnnc.Artifact.load(tmp_path / "x.sprnnx")
        assert error.value.code == "E603"


def test_a_constant_that_would_need_unpickling_is_refused(artifact: sprnnc.Artifact) -> None:
    manifest, members = container.unpack(artifact.to_bytes(), "here")
    buffer = io.BytesIO()
    np.save(buffer, np.array([{}], object), allow_pickle=True)
    member = artifact.manifest.buffers[-1].member
    assert refusal(container.pack(manifest, members | {member: buffer.getvalue()})) == "E603"


def test_a_constant_that_claims_more_than_it_holds_is_refused(artifact: sprnnc.Artifact) -> None:
    manifest, members = container.unpack(artifact.to_bytes(), "here")
    last = manifest["buffers"][-1]
    last["shape"] = [2**40]
    honest = members[last["member"]]
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776,)}\n"
    claim = honest[:8] + len(header).to_bytes(2, "little") + header + bytes(64)
    assert refusal(container.pack(manifest, members | {last["member"]: claim})) == "E603"


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    for where in (tmp_path / "none.sprnnx", tmp_path):
        with pytest.raises(ArtifactError) as error:
            sprnn_runtime.load(where)
        assert error.value.code == "E602"


@pytest.mark.parametrize("function", ["replace", "fsync", "chmod"])
def test_a_full_folder_is_left_as_it_was(
    artifact: sprnnc.Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "layer.sprnnx").write_bytes(b"the last good one")
    monkeypatch.setattr(os, function, full)
    with pytest.raises(SprnnError, match="No space left on device") as error:
        artifact.save(tmp_path / "layer.sprnnx")
    assert error.value.code == "E605"
    assert [p.name for p in tmp_path.iterdir()] == ["layer.sprnnx"]
    assert (tmp_path / "layer.sprnnx").read_bytes() == b"the last good one"


def test_an_interrupted_save_leaves_nothing(
    artifact: sprnnc.Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        artifact.save(tmp_path / "layer.sprnnx")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written(artifact: sprnnc.Artifact, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for where in (tmp_path / "none" / "layer.sprnnx", tmp_path / "folder"):
        with pytest.raises(SprnnError) as error:
            artifact.save(where)
        assert error.value.code == "E605"
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]
    assert not list((tmp_path / "folder").iterdir())


def test_a_fifo_or_a_device_is_written_into(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        for where in (fifo, Path("/dev/null")):
            container.check_writable(where)
            container.write_file(where, b"bytes")
            assert where.exists() and not where.is_file()
        assert os.read(reader, 100) == b"bytes"
    finally:
        os.close(reader)
    assert [p.name for p in tmp_path.iterdir()] == ["fifo"]


@pytest.mark.parametrize("there", [True, False])
def test_a_link_is_followed(tmp_path: Path, there: bool) -> None:
    (tmp_path / "folder").mkdir()
    target, link = tmp_path / "folder" / "real", tmp_path / "link"
    if there:
        target.write_bytes(b"old")
    link.symlink_to(target)
    container.check_writable(link)
    container.write_file(link, b"new")
    assert link.is_symlink() and target.read_bytes() == b"new"
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["folder", "link", "real"]


def test_a_link_that_leads_to_itself(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(link)
    with pytest.raises(SprnnError) as error:
        container.write_file(link / "y.npy", b"")
    assert error.value.code == "E605"


def test_modes_are_what_a_plain_write_gives(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.touch()
    kept.chmod(0o640)
    old = os.umask(0o027)
    try:
        for name in ("kept", "made", "m" * 250):
            container.write_file(tmp_path / name, b"bytes")
    finally:
        os.umask(old)
    assert [(tmp_path / n).stat().st_mode & 0o777 for n in ("kept", "made")] == [0o640, 0o640]


@pytest.mark.parametrize("header", ["(" * 3000, "-" * 9000 + "1", "[" * 190 + "-" * 2000])
def test_a_malicious_array_header(header: str) -> None:
    data = npy.magic(1, 0) + struct.pack("<H", len(header)) + header.encode()
    with pytest.raises(ArtifactError) as error:
        container.array_from_bytes(data, "here")
    assert error.value.code == "E603"
