"""Form lib: it builds, links from C and C++ through pkg-config, and without a GPU says so."""

from __future__ import annotations

import ctypes
import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from fake_build import RING, build, compile_cell, run

import sprnnc
from sprnnc.diagnostics import CompileError
from sprnnc.export.folder import write_folder
from sprnnc.export.library_form import architectures, library_files
from sprnnc.export.lower import lower_to_export
from sprnnc.export.self_test import self_test
from sprnnc.export.source_form import render, source_files
from sprnnc.export.weights import pack
from sprnnc.export.whole import whole

needs_nvcc = pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc is not in PATH")
FUNCTIONS = "create destroy error_text finish get_state last_message run "
FUNCTIONS += "set_budget_ns set_lengths set_state state_values"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "lstm"
    write_folder(folder, library_files(compile_cell("lstm"), embed=False))
    return folder


@needs_nvcc
@pytest.mark.skipif(shutil.which("pkg-config") is None, reason="there is no pkg-config")
def test_examples_build_with_compilers_of_the_system(library: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(library, tmp_path / "copy"))
    cuda = Path(os.environ.get("CUDA_HOME", "/usr/local/cuda"))
    if not (cuda / "include/cuda_runtime_api.h").exists():
        pytest.skip(f"no CUDA headers in {cuda}")
    command = ["make", "-C", str(folder / "examples"), f"CUDA={cuda}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (folder / "examples/two_streams").exists() and (folder / "examples/test").exists()


@needs_nvcc
def test_it_exports_its_functions_and_nothing_else(library: Path) -> None:
    command = ["nm", "-D", "--defined-only", str(library / "lib/liblstm.so")]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert {line.split()[2] for line in listed.splitlines()} == {f"lstm_{f}" for f in FUNCTIONS.split()}


def fat_binary(data: bytes) -> set[tuple[str, int]]:
    """Kind and architecture of all device code in a library, by the headers that nvcc writes."""
    kinds, found, at = {1: "ptx", 2: "machine code"}, set(), 0
    magic = struct.pack("<I", 0xBA55ED50)
    while (at := data.find(magic, at)) >= 0:
        _, _, header, size = struct.unpack_from("<IHHQ", data, at)
        entry, end = at + header, at + header + size
        while entry < end:
            kind, _, header, size = struct.unpack_from("<HHIQ", data, entry)
            found.add((kinds[kind], struct.unpack_from("<I", data, entry + 28)[0]))
            entry += header + size
        at = end
    return found


@needs_nvcc
def test_it_holds_code_for_several_architectures_and_ptx_for_newer_ones(library: Path) -> None:
    found = fat_binary((library / "lib/liblstm.so").read_bytes())
    assert found == {("ptx", 90), *(("machine code", arch) for arch in (90, 100, 103, 120))}


@needs_nvcc
def test_without_a_gpu_create_says_so(library: Path) -> None:
    try:
        loaded = ctypes.CDLL(str(library / "lib/liblstm.so"))
    except OSError as error:
        pytest.skip(f"its CUDA runtime is not found here: {error}")
    loaded.lstm_last_message.restype = loaded.lstm_error_text.restype = ctypes.c_char_p
    model = ctypes.c_void_p(1)
    code = loaded.lstm_create(ctypes.byref(model), b"/nowhere/lstm.weights", 0)
    assert code != 0 and model.value is None
    assert len(loaded.lstm_error_text(code)) > 5 and len(loaded.lstm_last_message()) > 5
    assert loaded.lstm_create(None, b"", 0) == 1


def test_architectures_are_its_own_and_newer_ones() -> None:
    assert architectures("sm_90") == ("sm_90", "sm_100", "sm_103", "sm_120")
    assert architectures("sm_90a") == ("sm_90a",)
    assert architectures("sm_80")[:2] == ("sm_80", "sm_86")


def test_without_nvcc_another_form_is_named(
    monkeypatch: pytest.MonkeyPatch, artifact: sprnnc.Artifact
) -> None:
    monkeypatch.setenv("NVCC", "no-such-nvcc")
    with pytest.raises(CompileError, match="there is no no-such-nvcc") as caught:
        library_files(artifact, embed=True)
    assert caught.value.diagnostics[0].code == "E509"
    assert "--form cu" in str(caught.value)


def test_the_two_streams_example_runs(tmp_path: Path) -> None:
    artifact = sprnnc.compile(RING, random_weights=1, batch=2, target="sm_90")
    write_folder(tmp_path / "c", source_files(artifact, embed=True))
    model = lower_to_export(whole(artifact), pack(artifact.packed), embed=True)
    example = render("two_streams.c.j2", model, t=self_test(artifact), weights_path="")
    (tmp_path / "c/two_streams.c").write_bytes(example)
    build(tmp_path / "c", "ring.cu", "two_streams.c")
    code, out, err = run(tmp_path / "c")
    assert code == 0, out + err
    assert "pass: two models on two streams" in out
    first = example.replace(b"ring_run(models[i], on_device", b"ring_run(models[0], on_device")
    assert first != example
    (tmp_path / "c/two_streams.c").write_bytes(first)  # the states of the first run go on in the second
    build(tmp_path / "c", "ring.cu", "two_streams.c")
    code, out, _ = run(tmp_path / "c")
    assert code == 1 and "FAIL" in out
