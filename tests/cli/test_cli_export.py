"""``sprnnc export``: a folder whole or not at all, and errors in the user's terms."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def for_gpu(sprnnc, tmp_path: Path) -> Path:
    path = tmp_path / "gpu.sprnnx"
    made = sprnnc("compile", "tiny.sprnn", "--random-weights", "0", "--target", "sm_90", "-o", path)
    assert made.code == 0, made.err
    return path


def test_a_folder_with_everything(sprnnc, for_gpu: Path, tmp_path: Path) -> None:
    done = sprnnc("export", for_gpu, "-o", tmp_path / "c")
    assert done.code == 0, done.err
    names = {p.name for p in (tmp_path / "c").iterdir()}
    assert names == {"tiny.cu", "tiny.h", "tiny.weights", "main.cu", "Makefile", "CMakeLists.txt"}
    assert all(name in done.out for name in names)


def test_embedded_weights_leave_no_file(sprnnc, for_gpu: Path, tmp_path: Path) -> None:
    assert sprnnc("export", for_gpu, "-o", tmp_path / "c", "--embed").code == 0
    assert not (tmp_path / "c" / "tiny.weights").exists()
    assert "tiny_embedded_weights[] = {\n  0x" in (tmp_path / "c" / "tiny.cu").read_text()


def test_the_same_artifact_gives_the_same_bytes(sprnnc, for_gpu: Path, tmp_path: Path) -> None:
    for name in "ab":
        assert sprnnc("export", for_gpu, "-o", tmp_path / name).code == 0
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_an_empty_folder_is_filled_and_a_full_one_left_alone(sprnnc, for_gpu: Path, tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    assert sprnnc("export", for_gpu, "-o", tmp_path / "c").code == 0
    (tmp_path / "c" / "mine").write_text("mine")
    again = sprnnc("export", for_gpu, "-o", tmp_path / "c")
    assert again.code == 1
    assert "E507" in again.err and "choose another folder" in again.err
    assert (tmp_path / "c" / "mine").read_text() == "mine"


def test_a_folder_that_cannot_be_made_leaves_nothing(sprnnc, for_gpu: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = sprnnc("export", for_gpu, "-o", tmp_path / "file" / "c")
    assert done.code == 1
    assert "E605" in done.err
    assert {p.name for p in tmp_path.iterdir()} == {"tiny.sprnn", "gpu.sprnnx", "file"}


def test_an_artifact_for_sim_is_refused_with_a_way_out(sprnnc, artifact: Path, tmp_path: Path) -> None:
    done = sprnnc("export", artifact, "-o", tmp_path / "c")
    assert done.code == 1
    assert "E506" in done.err and "--target sm_90" in done.err
    assert not (tmp_path / "c").exists()


def test_form_cubin_takes_no_embedded_weights(sprnnc, for_gpu: Path, tmp_path: Path) -> None:
    done = sprnnc("export", for_gpu, "-o", tmp_path / "c", "--form", "cubin")
    assert done.code == 0, done.err
    assert (tmp_path / "c" / "tiny.json").exists()
    refused = sprnnc("export", for_gpu, "-o", tmp_path / "d", "--form", "cubin", "--embed")
    assert refused.code == 1
    assert "E508" in refused.err
