"""Times of a run; the GPU and its libraries are played by what knows its times."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from benchmarks.peers import catalogue, library
from benchmarks.peers.outcome import Measured, Peer, Precision, Refused
from examples.charlm import measuring, timing
from examples.charlm.corpus import ALPHABET
from examples.charlm.kernels import Variant
from examples.charlm.model import CharModel
from examples.charlm.results import Results

HIDDEN = 8


def model() -> CharModel:
    symbols = len(ALPHABET)
    return CharModel(
        np.ones((4, HIDDEN, HIDDEN), np.float32),
        np.zeros((symbols, 4 * HIDDEN), np.float32),
        np.zeros((symbols, HIDDEN), np.float32),
        np.zeros(symbols, np.float32),
    )


def peer(name: str, us: float | None, seen: list[Any]) -> Peer:
    def run(inputs: Any, how: Any) -> Measured:
        seen.append((inputs.recurrent.shape, inputs.recurrent.dtype, inputs.x.shape))
        if us is None:
            raise Refused("it does not\ntake this shape")
        return Measured(np.zeros(1), (us, us + 1, us + 2))

    system, variant = name.split(maxsplit=1)
    return Peer(system, variant, Precision.FP16, 1, False, run)


@pytest.fixture
def peers(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Peers that give 5, refuse, and 1 us (which is not cuDNN); returns what they were called with."""
    seen: list[Any] = []
    found = [peer("cudnn fast", 5.0, seen), peer("cudnn odd", None, seen), peer("cublas graph", 1.0, seen)]
    monkeypatch.setattr(library, "PeerLibrary", lambda path: path)
    monkeypatch.setattr(catalogue, "peers_of", lambda case, lib, strongest_only: found)
    return seen


def test_cudnn_gets_the_models_matrices(peers: list[Any]) -> None:
    found = timing.cudnn(Path("so"), model(), 1, "fp16", time.monotonic() + 60)
    assert found == {"cudnn fast fp16": 6.0, "cudnn odd fp16": "it does not take this shape"}
    assert peers == [((4, HIDDEN, HIDDEN), np.float16, (timing.STEPS, 1, HIDDEN))] * 2


def test_no_algorithm_begins_when_the_time_is_up(peers: list[Any]) -> None:
    found = timing.cudnn(Path("so"), model(), 1, "fp16", time.monotonic() - 1)
    assert set(found.values()) == {"no time left"}
    assert not peers


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "pruned-0.1").mkdir()
    (tmp_path / "pruned-0.1" / "b1-fp16.sprnnx").touch()
    monkeypatch.setattr(measuring.Artifact, "load", lambda path: path)
    monkeypatch.setattr(timing, "ours", lambda artifact, model, text: [1.0, 3.0, 2.0])
    monkeypatch.setattr(timing, "torch_nn", lambda network, text, batch, dtype: [7.0])
    said: list[str] = []
    return SimpleNamespace(
        builds=[("pruned-0.1", Variant(1, "fp16"), None), ("pruned-0.1", Variant(4, "fp16"), None)],
        networks={"dense": object()},
        models={"dense": model(), "pruned-0.1": model()},
        options=SimpleNamespace(batches=[1], peers=None),
        corpus=SimpleNamespace(heldout=None),
        results=Results(tmp_path / "out.json", {}),
        work=tmp_path,
        deadline=time.monotonic() + 60,
        say=said.append,
        said=said,
    )


def test_times_of_all_that_was_built_are_written(run: Any, peers: list[Any], tmp_path: Path) -> None:
    (tmp_path / "peers.so").touch()
    building = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE, text=True)
    measuring.measure(run, building)
    models = json.loads((tmp_path / "out.json").read_text())["models"]
    assert models["pruned-0.1"]["times"] == [  # none of the kernel that was not built
        {"system": "sprnnc", "batch": 1, "dtype": "fp16", "median_us": 2.0, "low_us": 1.0, "high_us": 3.0}
    ]
    dense = models["dense"]["times"]
    assert [(r["system"], r["dtype"], r["median_us"]) for r in dense] == [
        *(("torch.nn", dtype, 7.0) for dtype in ("fp16", "tf32", "fp32")),
        *(("cudnn", dtype, 6.0) for dtype in ("fp16", "fp32")),
    ]
    assert dense[-1]["algorithm"] == "cudnn fast fp16"


def test_peers_that_cannot_be_built_are_said(run: Any, tmp_path: Path) -> None:
    failing = "print('no nvcc'); raise SystemExit(1)"
    building = subprocess.Popen([sys.executable, "-c", failing], stdout=subprocess.PIPE, text=True)
    measuring.measure(run, building)
    assert "no nvcc" in run.results.header["peers_failure"]
    assert [r["system"] for r in run.results.models["dense"]["times"]] == ["torch.nn"] * 3


def test_a_kernel_that_fails_is_a_row(run: Any) -> None:
    class Failed:
        def result(self, timeout: float) -> float:
            raise RuntimeError("out of\nregisters")

    run.machine = None
    run.builds = [("pruned-0.1", Variant(1, "fp16"), Failed())]
    measuring.check_kernels(run)
    assert run.results.models["pruned-0.1"]["kernels"] == [
        {"batch": 1, "dtype": "fp16", "failure": "RuntimeError: out of registers"}
    ]
