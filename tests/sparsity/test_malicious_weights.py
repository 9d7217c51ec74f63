"""Weight files that nobody meant well with: each is refused by name, and none costs memory or runs code."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib import format as npy

from sprnnc.diagnostics import CompileError
from sprnnc.sparsity.weight_files import load_tensors

SHAPES = {"W": (4, 8), "b": (4,)}
MOST_BYTES = 8 << 20  # what a refusal may allocate


class Payload:
    """Unpickling it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.folder),)


def npy_bytes(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def npy_header(shape: str, descr: str = "'<f4'") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}\n".encode()
    return npy.magic(1, 0) + struct.pack("<H", len(text)) + text


GOOD = {"W.npy": npy_bytes(np.ones((4, 8), np.float32)), "b.npy": npy_bytes(np.ones(4, np.float32))}


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def safetensors(header: object, data: bytes = bytes(144), length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def tensor(shape: object, offsets: object, dtype: object = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def refusal(tmp_path: Path, name: str, data: bytes) -> list[str]:
    """The codes of the refusal; asserts that there is one, and that it took little memory."""
    path = tmp_path / name
    path.write_bytes(data)
    tracemalloc.start()
    try:
        with pytest.raises(CompileError) as error:
            load_tensors(path, SHAPES)
        assert tracemalloc.get_traced_memory()[1] < MOST_BYTES
    finally:
        tracemalloc.stop()
    return [d.code for d in error.value.diagnostics]


def test_a_pickled_object_is_refused_and_never_loaded(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    array = np.empty(4, object)
    array[0] = Payload(trap)
    buffer = io.BytesIO()
    npy.write_array(buffer, array, allow_pickle=True)
    assert refusal(tmp_path, "w.npz", zipped(GOOD | {"b.npy": buffer.getvalue()})) == ["E306"]
    assert refusal(tmp_path, "w.npz", zipped(GOOD | {"b.npy": pickle.dumps(Payload(trap))})) == ["E302"]
    assert not trap.exists()
    pickle.loads(pickle.dumps(Payload(trap)))
    assert trap.exists(), "the trap itself must work"


@pytest.mark.parametrize(
    ("member", "code"),
    [
        (npy_header("(1099511627776,)"), "E305"),
        (npy_header("(1048576, 1048576)", "'<f8'"), "E305"),
        (npy_header("(4,)", "'V1099511627776'"), "E302"),
        (npy_header("(4,)"), "E302"),  # no data behind the header
        (npy_header("(4,)", "'>f4'") + bytes(16), "E306"),
        (npy_header("(4,)", "[('a', '<f4')]") + bytes(16), "E306"),
        (npy_header("(-4,)") + bytes(16), "E305"),
        (npy_header("__import__('os').getpid()"), "E302"),
        (npy_header("(" * 5000 + ")" * 5000), "E302"),
        (npy_header("(" * 3000), "E302"),
        (npy_header("-" * 9000 + "1"), "E302"),
        (npy_header("[" * 190 + "-" * 2000), "E302"),
        (npy.magic(1, 0) + b"\xff\xff", "E302"),
        (npy.magic(2, 0) + b"\xff\xff\xff\xff" + bytes(64), "E302"),
        (b"not an array", "E302"),
        (b"", "E302"),
    ],
    ids=lambda value: value[:70].decode("latin-1") if isinstance(value, bytes) else value,
)
def test_a_bad_npy_member(tmp_path: Path, member: bytes, code: str) -> None:
    assert refusal(tmp_path, "w.npz", zipped(GOOD | {"b.npy": member})) == [code]


def test_a_header_that_unpacks_to_gigabytes(tmp_path: Path) -> None:
    bomb = npy.magic(2, 0) + struct.pack("<I", 64 << 20) + b" " * (64 << 20)
    data = zipped(GOOD | {"b.npy": bomb}, zipfile.ZIP_DEFLATED)
    assert len(data) < 1 << 20
    assert refusal(tmp_path, "w.npz", data) == ["E302"]


def test_a_member_that_is_no_array(tmp_path: Path) -> None:
    assert refusal(tmp_path, "w.npz", zipped(GOOD | {"readme.txt": b"hello"})) == ["E302"]


def test_bytes_behind_an_array(tmp_path: Path) -> None:
    assert refusal(tmp_path, "w.npz", zipped(GOOD | {"b.npy": GOOD["b.npy"] + b"more"})) == ["E302"]


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_compression_that_numpy_does_not_write(tmp_path: Path, method: int) -> None:
    assert refusal(tmp_path, "w.npz", zipped(GOOD, method)) == ["E302"]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_truncated_archive(tmp_path: Path, method: int) -> None:
    whole = zipped(GOOD, method)
    for cut in range(0, len(whole), 37):
        assert refusal(tmp_path, "w.npz", whole[:cut]) == ["E302"]


GOOD_HEADER = {"W": tensor([4, 8], [0, 128]), "b": tensor([4], [128, 144])}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x01",
        safetensors(GOOD_HEADER, length=2**63),
        safetensors(GOOD_HEADER, length=10**6),
        safetensors(b"garbage"),
        safetensors(b"\xff\xfe" * 9),
        safetensors(b"[" * 100_000),
        safetensors(b'{"a":' * 100_000),
        safetensors([1, 2, 3]),
        safetensors("W"),
        safetensors(None),
        safetensors({"W": 3}),
        safetensors({"W": {}}),
        safetensors({"W": tensor([4, 8], [0, 128]) | {"data_offsets": 7}}),
        safetensors(GOOD_HEADER | {"b": tensor([4], [128, 4096])}),
        safetensors(GOOD_HEADER | {"b": tensor([4], [-16, 0])}),
        safetensors(GOOD_HEADER | {"b": tensor([4], [144, 128])}),
        safetensors(GOOD_HEADER | {"b": tensor([4], [128, 140])}),
        safetensors(GOOD_HEADER | {"b": tensor([4], [0.5, 16.5])}),
        safetensors(GOOD_HEADER | {"b": tensor([4], ["0", "16"])}),
        safetensors(GOOD_HEADER | {"b": tensor([4], [0, 16, 32])}),
        safetensors(GOOD_HEADER | {"b": tensor(4, [128, 144])}),
        safetensors(GOOD_HEADER | {"b": tensor([[4]], [128, 144])}),
        safetensors(b'{"W": {"dtype": "F32", "shape": [1e999], "data_offsets": [0, 16]}}'),
        safetensors(GOOD_HEADER | {"b": tensor([4], [128, 144], ["F32"])}),
        safetensors(GOOD_HEADER | {"b": tensor([4.5], [128, 144])}),
        safetensors(GOOD_HEADER | {"b": tensor([4], [112, 128])}),
        safetensors(GOOD_HEADER | {"b": tensor([4], [132, 148])}, bytes(148)),
        safetensors(GOOD_HEADER, bytes(145)),
    ],
    ids=lambda data: data[8:60].decode("ascii", "replace"),
)
def test_a_bad_safetensors_file(tmp_path: Path, data: bytes) -> None:
    assert refusal(tmp_path, "w.safetensors", data) == ["E302"]


def test_claims_of_a_safetensors_header_that_disagree_with_the_cell(tmp_path: Path) -> None:
    huge = GOOD_HEADER | {"b": tensor([2**40], [128, 144]), "c": tensor([1], [144, 148])}
    assert refusal(tmp_path, "w.safetensors", safetensors(huge, bytes(148))) == ["E305", "E304"]
    other_type = GOOD_HEADER | {"b": tensor([4], [128, 144], "I32")}
    assert refusal(tmp_path, "w.safetensors", safetensors(other_type)) == ["E306"]


@settings(max_examples=150)
@given(st.data())
def test_a_changed_file_is_refused_or_holds_the_right_shapes(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    name, whole = data.draw(
        st.sampled_from(
            [
                ("w.npz", zipped(GOOD)),
                ("w.npz", zipped(GOOD, zipfile.ZIP_DEFLATED)),
                ("w.safetensors", safetensors(GOOD_HEADER)),
            ]
        )
    )
    changed = bytearray(whole)
    for at in data.draw(st.lists(st.integers(0, len(whole) - 1), min_size=1, max_size=4)):
        changed[at] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(changed)
    try:
        loaded = load_tensors(path, SHAPES)
    except CompileError:
        return
    assert {n: a.shape for n, a in loaded.items()} == SHAPES
    if path.suffix == ".npz":  # a zip has checksums, so what loads is what was written
        assert all((array == 1).all() for array in loaded.values())
