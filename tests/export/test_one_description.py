"""Exported C and the Python runtime ask CUDA for the same things in the same order."""

from __future__ import annotations

from pathlib import Path

import pytest
import sprnn_runtime.cuda_device as cuda_device
from fake_build import build, compile_cell, run
from fake_driver import FakeDriver
from sprnn_runtime.layer import open_layer
from sprnn_runtime.manifest import Role
from sprnn_runtime.network import open_network

from sprnnc.export.folder import write_folder
from sprnnc.export.self_test import random_input, self_test
from sprnnc.export.source_form import source_files
from sprnnc.export.whole import whole
from sprnnc.network_artifact import Compiled, NetworkArtifact

CASES = {
    "lstm": {"steps_per_launch": 5},
    "gru_reset_before": {"steps_per_launch": 7, "exchange": "barrier"},
}


@pytest.mark.parametrize("cell", CASES)
def test_the_same_fills_and_launches_in_the_same_order(
    cell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = compile_cell(cell, **CASES[cell])
    expected = asked_by_python(artifact, monkeypatch)
    assert asked_by_c(artifact, tmp_path / "c") == expected
    assert sum(line.startswith("together") for line in expected) > 1  # chunks


def asked_by_python(artifact: Compiled, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    driver = FakeDriver()
    monkeypatch.setattr(cuda_device, "_driver", lambda: driver)
    steps = self_test(artifact).steps
    opened = open_network if isinstance(artifact, NetworkArtifact) else open_layer
    with opened(artifact.loaded(), "cuda") as layer:
        layer(random_input(steps, artifact.manifest.batch, artifact.manifest.input_size))
    return by_first_use(driver.lines, artifact)


def asked_by_c(artifact: Compiled, folder: Path) -> list[str]:
    write_folder(folder, source_files(artifact, embed=False))
    build(folder, f"{artifact.manifest.name}.cu", "main.cu")
    code, out, err = run(folder, FAKE_CUDA_LOG=folder / "log")
    assert code == 0, out + err
    lines = (folder / "log").read_text().splitlines()
    created = max(i for i, line in enumerate(lines) if line == "allocate")
    return by_first_use(lines[created + 1 :], artifact)


def by_first_use(lines: list[str], artifact: Compiled) -> list[str]:
    """``lines`` with every address as the number of the line and place where it was first seen."""
    statuses = status_addresses(lines, artifact)
    names = dict.fromkeys(statuses, "status")

    def named(word: str) -> str:
        size, colon, value = word.rpartition(":")
        if int(value) < 1 << 16 or int(value) == cuda_device.DEFAULT_BUDGET_NS:
            return word
        return size + colon + names.setdefault(int(value), f"address {len(names) - len(statuses)}")

    return [" ".join([line.split()[0], *map(named, line.split()[1:])]) for line in lines]


def status_addresses(lines: list[str], artifact: Compiled) -> set[int]:
    """Where the status is: C has one for each launch, Python reads it after each."""
    (size,) = {b.bytes(0) for b in whole(artifact).buffers if b.role is Role.STATUS}
    return {int(line.split()[1]) for line in lines if line.endswith(f" 0 {size}")}


def test_chunks_and_fills_are_those_of_the_manifest() -> None:
    from sprnn_runtime.launch import FillStep, Pointer, chunk_steps, chunks

    assert list(chunks(12, 5)) == [(0, 5), (5, 5), (10, 2)]
    artifact = compile_cell("lstm")
    steps = chunk_steps(artifact.manifest)
    assert [s.buffer for s in steps if isinstance(s, FillStep)] == ["exchange_1", "status"]
    x = next(a for a in steps[2].arguments if isinstance(a, Pointer) and a.buffer == "x")  # type: ignore[union-attr]
    assert x.step_bytes == 2 * 10 * 4
