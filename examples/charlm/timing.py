"""Microseconds a step of the LSTM of a network: our kernel, torch.nn, and cuDNN called directly."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sprnn_runtime.layer import open_layer

import sprnnc
from examples.charlm.corpus import Symbols
from examples.charlm.model import CharModel, columns
from examples.charlm.network import CharLM, tf32

STEPS = 256
_REPEATS = 20
_PATIENCE_MS = 200.0
_QUIET_CYCLES = 2_000_000  # in which a call is enqueued, so that the processor's time does not count


def ours(artifact: sprnnc.Artifact, model: CharModel, text: Symbols) -> list[float]:
    """Everything that a call of the compiled layer launches, fills and conversions included."""
    x = model.inputs(columns(text, artifact.plan.batch, STEPS))
    with open_layer(artifact.loaded(), "cuda") as layer:
        return layer.time_us(x, _REPEATS)


def torch_nn(network: CharLM, text: Symbols, batch: int, dtype: str) -> list[float]:
    """nn.LSTM as it was trained, its input the embedded text, the product with the input matrix included.

    ``dtype``: fp16, fp32, or tf32 (fp32 whose products round their factors to 10 bits).
    """
    kind = torch.float16 if dtype == "fp16" else torch.float32
    symbols = torch.from_numpy(columns(text, batch, STEPS).astype(np.int64)).cuda()
    lstm = torch.nn.LSTM(network.lstm.input_size, network.hidden, device="cuda", dtype=kind)
    lstm.load_state_dict(network.lstm.state_dict())
    lstm.eval()
    with torch.inference_mode(), tf32(dtype == "tf32"):
        x = network.embedding(symbols).to(kind)
        return [us / STEPS for us in _events(lambda: lstm(x))]


def _events(call: Callable[[], Any]) -> list[float]:
    """Microseconds of each call but the three that warm up."""
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    times = []
    for _ in range(3 + _REPEATS):
        torch.cuda._sleep(_QUIET_CYCLES)
        first.record()
        call()
        last.record()
        last.synchronize()
        times.append(first.elapsed_time(last) * 1e3)
    return times[3:]


def start_peers_build(output: Path) -> subprocess.Popen[str]:
    """Builds the CUDA peers of the benchmarks while the training goes on."""
    command = [sys.executable, "-m", "benchmarks.peers.build", str(output)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def cudnn(library: Path, model: CharModel, batch: int, dtype: str, deadline: float) -> dict[str, Any]:
    """Algorithms of cuDNN on the recurrent part alone: microseconds a step by name, or why there is no time.

    x is already multiplied: cuDNN adds one random vector to all gates (its skipped input), which costs as
    much as any other.
    """
    from benchmarks.cases import Case
    from benchmarks.cells import CellKind
    from benchmarks.peers.catalogue import peers_of
    from benchmarks.peers.inputs import InputStore
    from benchmarks.peers.library import PeerLibrary
    from benchmarks.peers.outcome import Refused, Timing
    from benchmarks.problem import Problem

    case = Case(CellKind.LSTM, model.hidden, batch, 1.0, dtype, steps=STEPS)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((STEPS, batch, model.hidden)).astype(np.float32)
    bias = np.zeros((4, model.hidden), np.float32)
    store = InputStore(Problem(case, model.recurrent, bias, x, None))
    results: dict[str, Any] = {}
    for peer in peers_of(case, PeerLibrary(library), strongest_only=True):
        if peer.system != "cudnn":
            continue
        if time.monotonic() > deadline:
            results[peer.name] = "no time left"
            continue
        try:
            measured = peer.run(store.inputs(peer.precision, peer.batch), Timing(patience_ms=_PATIENCE_MS))
            results[peer.name] = measured.median_us
        except Refused as refusal:
            results[peer.name] = " ".join(str(refusal).split())
    return results


def summary(times_us: list[float]) -> dict[str, float]:
    """The median and the spread."""
    return {"median_us": statistics.median(times_us), "low_us": min(times_us), "high_us": max(times_us)}
