"""Whole models beside torch.nn with cuDNN and a CUDA-graphed cuBLAS version, and a streamed step.

    python -m benchmarks.models --output benchmarks/results/h200.json [--commit HASH] [--only NAME ...]
        [--time-limit SECONDS] [--prepare-only --artifacts DIR]

Times are those of whole calls by CUDA events, in microseconds; of a model that runs step by step, those of
one step. Ours is timed before its peers and after them.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from sprnn_runtime.network import open_network

import sprnnc
from benchmarks.machine import describe_machine
from benchmarks.model_cases import (
    DENSITY,
    GROUP,
    REQUIRED,
    SPEECH,
    WAVEFRONTS,
    ModelCase,
    sparse_weights,
    translation,
)
from benchmarks.results_file import ResultsFile, Row
from benchmarks.rows import REFUSED

CASES = (SPEECH, *translation(1), *translation(4), *WAVEFRONTS)
STREAMED = ModelCase("stream-lstm-1024-b1", "LSTM", 1024, 1024, 1, 1, 1, step_by_step=True)
CHECKED_STEPS = 12
PARTS = 20  # steps in one captured graph
WRONG = 1e-2  # a relative error that fp16 does not explain


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse_arguments(arguments)
    prepare(options)
    if options.prepare_only:
        return
    gpu, commit, versions = describe_machine(options.commit)
    setting = {"commit": commit, "gpu": gpu, "versions": versions}
    results, deadline = ResultsFile(options.output), time.monotonic() + options.time_limit
    for case in chosen(options):
        if time.monotonic() > deadline:
            print(f"time is up before {case.name}")
            return
        row = measure(case, options.artifacts) | setting
        results.put(row)
        print(summary(row), flush=True)
    if STREAMED.name in options.only or not options.only:
        row = measure_stream(options.artifacts) | setting
        results.put(row)
        print(row["stream"], flush=True)


def chosen(options: argparse.Namespace) -> list[ModelCase]:
    return [c for c in CASES if not options.only or c.name in options.only]


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/h200.json"))
    parser.add_argument("--artifacts", type=Path, default=Path("build/models"))
    parser.add_argument("--commit", default="")
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--time-limit", type=float, default=600)
    parser.add_argument("--prepare-only", action="store_true")
    return parser.parse_args(arguments)


# ---- what is compiled


def variants(case: ModelCase) -> dict[str, dict[str, object]]:
    """Ours, and for a stack each way to make kernels of it beside what the compiler chose."""
    if case in WAVEFRONTS:
        return {"chosen": {}, "each": {"kernels": "each"}, "wavefront": {"kernels": "wavefront"}}
    return {"chosen": case.schedule}


def prepare(options: argparse.Namespace) -> None:
    """Compiles what is not there yet, on all processors."""
    options.artifacts.mkdir(parents=True, exist_ok=True)
    jobs = [
        (case, schedule, options.artifacts / f"{case.name}-{name}.sprnnx")
        for case in [*chosen(options), STREAMED]
        for name, schedule in stream_or_variants(case).items()
    ]
    with ProcessPoolExecutor() as pool:
        list(pool.map(compile_one, [job for job in jobs if not job[2].exists()]))


def stream_or_variants(case: ModelCase) -> dict[str, dict[str, object]]:
    if case is STREAMED:
        return {"joined": {"input_products": "joined"}, "library": {"input_products": "library"}}
    return variants(case)


def compile_one(job: tuple[ModelCase, dict[str, object], Path]) -> None:
    from sprnnc.cell.network_weights import network_shapes
    from sprnnc.language.check import check_program
    from sprnnc.language.parse import parse

    case, schedule, path = job
    network = check_program(parse(case.text), source=case.text)
    weights = sparse_weights(network_shapes(network), seed=case.hidden + case.layers)
    made = sprnnc.compile(case.text, weights=weights, batch=case.batch, target="sm_90", schedule=schedule)
    made.save(path)


# ---- what is timed


def measure(case: ModelCase, folder: Path) -> Row:
    from benchmarks.model_peers import PEERS

    ours: dict[str, list[float]] = {}
    errors, plans = {}, {}
    for name in variants(case):
        path = folder / f"{case.name}-{name}.sprnnx"
        plans[name] = plan_of(path)
        ours[name], errors[name] = time_ours(case, path)
    peers: dict[str, float | str] = {}
    for name, make in PEERS.items():
        try:
            peers[name] = round(timed(make(case), 5), 2)
        except (RuntimeError, ValueError) as error:
            peers[name] = REFUSED + str(error).splitlines()[0][:100]
    for name in variants(case):
        ours[name] += time_ours(case, folder / f"{case.name}-{name}.sprnnx")[0]
    us = {name: round(statistics.median(times), 2) for name, times in ours.items()}
    error = errors["chosen"]
    if not error < WRONG:
        raise SystemExit(f"{case.name}: its outputs are wrong, relative error {error:.3g}")
    measured = {name: t for name, t in peers.items() if isinstance(t, float)}
    best = min(measured, key=measured.__getitem__, default=None)
    return {
        "name": f"model-{case.name}",
        "groups": [GROUP],
        "cell": case.cell.lower(),
        "H": case.hidden,
        "B": case.batch,
        "T": 1 if case.step_by_step else case.steps,
        "layers": case.layers,
        "bidirectional": case.bidirectional,
        "lengths": list(case.lengths),
        "density": DENSITY,
        "dtype": "fp16",
        "us": us["chosen"],
        "ways_us": us,
        "peers": peers,
        "best_peer": best,
        "ratio": round(measured[best] / us["chosen"], 3) if best else None,
        "required": REQUIRED,
        "rel_error": float(f"{error:.3g}"),
        "plan": plans,
        "schedule": {name: str(value) for name, value in case.schedule.items()},
    }


def plan_of(path: Path) -> dict[str, str]:
    plan = sprnnc.load(path).plan
    return {n: f"{c.text}: {c.reason}" for n, c in (("kernels", plan.kernels), ("at_once", plan.at_once))}


def time_ours(case: ModelCase, path: Path) -> tuple[list[float], float]:
    """Microseconds of calls, and the error of a short one against float64."""
    import torch

    artifact = sprnnc.load(path)
    rng = np.random.default_rng(case.layers)
    x = rng.standard_normal((case.steps, case.batch, case.inputs)).astype(np.float32)
    with open_network(artifact.loaded(), "cuda") as network:
        short = x[:CHECKED_STEPS]
        y, _ = network(short)
        exact = sprnnc.execute(artifact, short, device="reference").y
        error = float(np.linalg.norm(y - exact) / np.linalg.norm(exact))
        side = torch.cuda.Stream()
        if case.step_by_step:
            call = streamed_step(network, case, side)
            return [timed(call, 5, side) / PARTS for _ in range(3)], error
        call = captured_call(network, case, torch.from_numpy(x).cuda(), side)
        times = [timed(call, 5, side) for _ in range(3)]
        network.check()
    return times, error


def captured_call(network: Any, case: ModelCase, x: Any, side: Any) -> Callable[[], Any]:
    """A graph of one call, with lengths where the case has them."""
    import torch

    manifest = network.manifest
    lengths = torch.tensor(case.lengths, dtype=torch.int32, device="cuda") if case.lengths else None
    y = torch.empty(case.steps, case.batch, manifest.output_size, device="cuda")
    states = {s.name: torch.empty(case.batch, s.size, device="cuda") for s in manifest.states}
    torch.cuda.synchronize()

    def whole() -> None:
        network(x, lengths=lengths, stream=side, out=(y, states))

    with torch.cuda.stream(side):
        whole()
    side.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=side):
        whole()
    return graph.replay


def streamed_step(network: Any, case: ModelCase, side: Any) -> Callable[[], Any]:
    """A graph of PARTS steps, each of one chunk of a stream whose states stay on the device."""
    import torch

    held = torch.zeros(1, case.batch, case.inputs, device="cuda")
    torch.cuda.synchronize()
    stream = network.stream(stream=side)
    with torch.cuda.stream(side):
        step = stream.bind(held)
        step()
    side.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=side):
        for _ in range(PARTS):
            step()
    return graph.replay


def timed(call: Callable[[], Any], repeats: int, stream: Any = None) -> float:
    """Median microseconds of one call between events on ``stream``, after two that do not count."""
    import torch

    times = []
    stream = stream or torch.cuda.current_stream()
    with torch.cuda.stream(stream):
        for number in range(repeats + 2):
            first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            first.record()
            call()
            last.record()
            stream.synchronize()
            if number >= 2:
                times.append(first.elapsed_time(last) * 1e3)
    return statistics.median(times)


def measure_stream(folder: Path) -> Row:
    """A step of one LSTM: a call from Python, a step of a captured graph, and its kernels alone."""
    found = {}
    for name in stream_or_variants(STREAMED):
        layer = next(iter(sprnnc.load(folder / f"{STREAMED.name}-{name}.sprnnx").parts.values()))
        found[name] = stream_times(layer)
    return {
        "name": STREAMED.name,
        "groups": [GROUP],
        "cell": "lstm",
        "H": STREAMED.hidden,
        "B": 1,
        "T": 1,
        "density": DENSITY,
        "dtype": "fp16",
        "stream": found,
    }


def stream_times(artifact: Any) -> dict[str, float]:
    """``call_us``: of a bound chunk of one step from Python. ``graph_us``: of a step in a captured graph of
    PARTS. ``kernels_us``: of its kernels alone in such a graph, which find the exchange of before."""
    import torch
    from sprnn_runtime.layer import open_layer

    calls = 300
    with open_layer(artifact.loaded(), "cuda") as layer:
        side, held = torch.cuda.Stream(), torch.zeros(1, 1, STREAMED.inputs, device="cuda")
        torch.cuda.synchronize()
        stream, walls = layer.stream(stream=side), []
        with torch.cuda.stream(side):
            step = stream.bind(held)
            for _ in range(10):
                step()
            side.synchronize()
            for _ in range(10):
                began = time.perf_counter()
                for _ in range(calls):
                    step()
                side.synchronize()
                walls.append((time.perf_counter() - began) / calls * 1e6)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=side):
            for _ in range(PARTS):
                step()
        in_graph = timed(graph.replay, 9, side) / PARTS
        launches = stream._last._launches
        kernels = torch.cuda.CUDAGraph()
        with torch.cuda.graph(kernels, stream=side):
            for launch in launches * PARTS:
                launch()
        alone = timed(kernels.replay, 9, side) / PARTS
        stream.check()
    return {
        "call_us": round(statistics.median(walls), 2),
        "graph_us": round(in_graph, 2),
        "kernels_us": round(alone, 2),
    }


def summary(row: Row) -> str:
    peers = ", ".join(f"{name} {value}" for name, value in row["peers"].items())
    return f"{row['name']}: {row['ways_us']} us, ratio {row['ratio']}, error {row['rel_error']}; {peers}"


if __name__ == "__main__":
    main()
