"""Form cubin: the JSON alone is enough to launch, and the example in C follows it."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_build import EXAMPLES, RING, WITHOUT_PRODUCTS, build, compile_cell, run
from sprnn_runtime.layer import open_layer
from sprnn_runtime.sim import Simulator

import sprnnc
from sprnnc.export.cubin_form import cubin_files
from sprnnc.export.folder import write_folder
from sprnnc.export.self_test import random_input, self_test

CUDA = next(
    (p for p in (Path("/usr/local/cuda/include"), Path("/usr/include")) if (p / "cuda.h").exists()), None
)


@pytest.fixture(scope="module")
def cubin(artifact: sprnnc.Artifact, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "lstm"
    write_folder(folder, cubin_files(artifact, embed=False))
    return folder


def launch_by_description(
    folder: Path, source: str, x: np.ndarray, lengths: np.ndarray | None = None
) -> np.ndarray:
    """Runs x [T, B, I] by what ``*.json`` says and nothing else; the simulator stands in for the cubin."""
    (path,) = folder.glob("*.json")
    about = json.loads(path.read_text())
    longest, kernels = about["steps_per_launch"], [s["kernel"] for s in about["chunk"] if s["do"] == "launch"]
    simulator = Simulator(source, kernels)

    def size(extent: dict[str, int], steps: int) -> int:
        return extent["fixed"] + steps * extent["per_step"]

    memory: dict[str, np.ndarray] = {}
    for b in about["buffers"]:
        if "file" in b:
            memory[b["name"]] = np.frombuffer((folder / b["file"]["path"]).read_bytes(), np.uint8).copy()
            assert memory[b["name"]].nbytes == size(b["bytes"], 0) == b["file"]["bytes"]
            assert hashlib.sha256(memory[b["name"]]).hexdigest() == b["file"]["sha256"]
        else:
            steps = len(x) if b["owner"] == "caller" else longest
            memory[b["name"]] = np.zeros(size(b["bytes"], steps), np.uint8)
        if b["role"] == "input":
            memory[b["name"]][:] = x.view(np.uint8).ravel()
    for first in range(0, len(x), longest):
        count = min(longest, len(x) - first)
        values = {"steps": np.int32(count), "budget_ns": np.uint64(1 << 62)}
        values |= {"batch": np.int32(about["batch"]), "first": np.int32(first)}

        def value(argument: dict[str, Any], first: int = first, values: dict[str, Any] = values) -> Any:
            if argument.get("buffer") == "lengths":
                return np.uint64(0) if lengths is None else lengths
            if argument["type"] == "pointer":
                return memory[argument["buffer"]][first * argument["step_bytes"] :]
            assert argument["type"] == values[argument["value"]].dtype.name
            return values[argument["value"]]

        for step in about["chunk"]:
            if step["do"] == "fill":
                memory[step["buffer"]][: size(step["bytes"], count)] = step["byte"]
            else:
                assert step["grid"][1:] == step["block"][1:] == [1, 1]
                simulator.launch(
                    step["kernel"],
                    grid=step["grid"][0],
                    block=step["block"][0],
                    shared_bytes=step["shared_bytes"],
                    args=[value(a) for a in step["arguments"]],
                )
        (status,) = about["status"]
        assert memory[status["buffer"]].view(np.uint32)[0] == 0
    (y,) = (b["name"] for b in about["buffers"] if b["role"] == "output")
    return memory[y].view(np.float32).reshape(len(x), about["batch"], about["output_size"])


def test_the_description_alone_is_enough_to_launch(artifact: sprnnc.Artifact, cubin: Path) -> None:
    x = np.random.default_rng(2).standard_normal((12, 2, 10)).astype(np.float32)
    with open_layer(artifact.loaded(), "sim") as layer:
        expected, _ = layer(x)
        ended, _ = layer(x, lengths=[12, 7])
    source, lengths = artifact.kernel_source, np.array([12, 7], np.int32)
    np.testing.assert_array_equal(launch_by_description(cubin, source, x), expected)
    np.testing.assert_array_equal(launch_by_description(cubin, source, x, lengths), ended)


def test_the_cubin_is_the_artifact_s_own(artifact: sprnnc.Artifact, cubin: Path) -> None:
    about = json.loads((cubin / "lstm.json").read_text())
    data = (cubin / about["cubin"]["path"]).read_bytes()
    assert data == artifact.cubin
    assert hashlib.sha256(data).hexdigest() == about["cubin"]["sha256"]


@pytest.mark.skipif(CUDA is None, reason="there is no cuda.h")
def test_the_example_compiles_as_c(cubin: Path, tmp_path: Path) -> None:
    command = ["gcc", "-std=c11", "-Wall", "-Wextra", "-Werror", f"-I{CUDA}", "-c", "example.c"]
    command += ["-o", str(tmp_path / "example.o")]
    done = subprocess.run(command, cwd=cubin, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("source", [EXAMPLES / "lstm.sprnn", RING, WITHOUT_PRODUCTS])
def test_the_example_calls_every_function_that_it_has(source: Path | str) -> None:
    """A compiler warns of one that it does not: here of launches that a cell has no use for."""
    artifact = sprnnc.compile(source, random_weights=1, target="sm_90")
    text = cubin_files(artifact, embed=False)["example.c"].decode()
    functions = re.findall(r"^static [\w ]+?\*?(\w+)\(", text, re.M)
    assert {"run_chunk", "main"} & set(functions)
    for name in functions:
        assert len(re.findall(rf"\b{name}\(", text)) > 1, name


@pytest.mark.parametrize("cell", ["lstm", "gru_reset_before"])
def test_the_example_passes(cell: str, tmp_path: Path) -> None:
    artifact = compile_cell(cell, steps_per_launch=5)
    folder = tmp_path / "cubin"
    write_folder(folder, cubin_files(artifact, embed=False))
    cases = "".join(
        f'  if (name == "{artifact.manifest.name}.cubin {k.name}") '
        f"return sprnn_sim::bind({k.name}, arguments);\n"
        for k in artifact.manifest.kernels
    )
    (folder / "kernels.cpp").write_text(
        f"{artifact.kernel_source}\n"
        f"std::function<void()> fake_cuda_bind(const std::string& name, void** arguments) {{\n"
        f"{cases}  abort();\n}}\n"
    )
    build(folder, "kernels.cpp", "example.c", header="cuda.h")
    code, out, err = run(folder)
    assert code == 0, out + err
    assert f"pass: {self_test(artifact).steps} steps" in out
    wrong = np.fromfile(folder / "test/expected.bin", np.float32) + 1
    wrong.tofile(folder / "test/expected.bin")
    assert run(folder)[0] == 1


def test_the_input_of_the_test_is_in_range_and_not_constant() -> None:
    x = random_input(4, 2, 8)
    assert x.min() >= -1 and x.max() < 1
    assert len(np.unique(x)) > 60
