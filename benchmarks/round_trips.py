"""Random PyTorch modules to kernels: imported in three ways, compiled, run, and compared with PyTorch.

    python -m benchmarks.round_trips --count 200 --device sim --output benchmarks/results/round_trips_sim.json
    python -m benchmarks.round_trips --count 200 --device cuda --jobs 8 --output RESULT.json
    python -m benchmarks.round_trips --export-to DIR --largest 256   # for a machine that cannot export
    python -m benchmarks.round_trips --device cuda --onnx-from DIR

Each module is imported from itself, from a state_dict file and from an ONNX export; its whole stack then runs
on the device, layer by layer as ``run_stack`` says. The result is compared with the same module in float64,
and must be as near as fp32 can be (``random_modules.rounding_bound``). Exits with 1 where any is not.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import sprnnc
from benchmarks.atomic import write_text
from benchmarks.machine import describe_machine
from benchmarks.random_modules import (
    Array,
    Configuration,
    as_row,
    draw,
    exact_output,
    export_onnx,
    make_input,
    make_module,
    rounding_bound,
    run_torch,
)
from sprnnc.importing import ImportedLayer, from_module, import_file, run_stack

Row = dict[str, Any]
NOT_EXPORTED = "PyTorch exports no projection"
_gpu: Any = nullcontext()  # held by the one process that runs kernels: persistent ones fill the GPU


@dataclass(frozen=True, slots=True)
class Options:
    """Where and how large. ``onnx_from``: a folder of files that were exported before."""

    device: str
    target: str
    largest: int
    onnx_from: Path | None = None


def round_trip(number: int, options: Options) -> Row:
    """One configuration's errors, ||y - exact|| / ||exact||, by the way it was imported."""
    configuration = draw(number, options.largest)
    module, x = make_module(configuration), make_input(configuration)
    exact = exact_output(module, configuration, x)
    run = _Runner(configuration.batch, options)
    with tempfile.TemporaryDirectory() as folder:
        errors = {
            way: _relative(run_stack(layers, x, run, configuration.lengths or None), exact)
            for way, layers in _imported(configuration, module, Path(folder), options)
        }
    bound = _short(rounding_bound(module, configuration, x))
    return {
        **as_row(configuration),
        "errors": errors,
        "onnx": "" if "onnx" in errors else NOT_EXPORTED,
        "pytorch_error": _relative(run_torch(module, configuration, x), exact),
        "bound": bound,
        "agrees": all(error <= bound for error in errors.values()),
    }


def _imported(
    configuration: Configuration, module: Any, folder: Path, options: Options
) -> Iterator[tuple[str, list[ImportedLayer]]]:
    import torch

    yield "module", from_module(module)
    torch.save(module.state_dict(), folder / "m.pt")
    yield "state_dict", import_file(folder / "m.pt", configuration.nonlinearity or None)
    if not configuration.projection:
        yield "onnx", import_file(_onnx_file(configuration, module, folder, options))


def _onnx_file(configuration: Configuration, module: Any, folder: Path, options: Options) -> Path:
    if options.onnx_from is not None:
        return options.onnx_from / file_name(configuration.number, options.largest)
    export_onnx(module, configuration, folder / "m.onnx")
    return folder / "m.onnx"


def file_name(number: int, largest: int) -> str:
    """Of an exported module; its weights are those that ``make_module`` gives with the same PyTorch."""
    return f"{number}_{largest}.onnx"


class _Runner:
    """A layer on the device; what is the same to the bit is compiled and run once."""

    def __init__(self, batch: int, options: Options) -> None:
        self.batch, self.options = batch, options
        self.known: dict[tuple[bytes, ...], Array] = {}

    def __call__(self, layer: ImportedLayer, x: Array) -> Array:
        body = "\n".join(line for line in layer.source.splitlines() if not line.startswith(("#", "model")))
        key = (body.encode(), x.tobytes(), *(layer.tensors[name].tobytes() for name in sorted(layer.tensors)))
        if key not in self.known:
            target = self.options.target
            artifact = sprnnc.compile(layer.source, weights=layer.tensors, batch=self.batch, target=target)
            with _gpu:
                run = sprnnc.execute(
                    artifact, np.ascontiguousarray(x, np.float32), device=self.options.device
                )
            self.known[key] = run.y
        return self.known[key]


def _relative(y: Array, exact: Array) -> float:
    """Where the exact result is nothing but zeros, as a relu's may be, the norm of ``y``."""
    return _short(float(np.linalg.norm(y - exact)) / (float(np.linalg.norm(exact)) or 1.0))


def _short(value: float) -> float:
    """To four digits: more would be noise in a file that is read."""
    return float(f"{value:.3e}")


def _export(number: int, largest: int, folder: Path) -> None:
    configuration = draw(number, largest)
    if not configuration.projection:
        export_onnx(make_module(configuration), configuration, folder / file_name(number, largest))


def _hold(lock: Any) -> None:
    """In each process: one thread of PyTorch, and the lock that they share."""
    import torch

    global _gpu
    _gpu = lock
    torch.set_num_threads(1)


def _each(work: Callable[[int], Any], numbers: range, jobs: int) -> Iterator[Any]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, initializer=_hold, initargs=(context.Lock(),)) as pool:
        yield from pool.map(work, numbers)


def summary(rows: list[Row]) -> Row:
    """What a reader wants first."""
    ways = sorted({way for row in rows for way in row["errors"]})
    return {
        "configurations": len(rows),
        "agree": sum(row["agrees"] for row in rows),
        "imported": {way: sum(way in row["errors"] for row in rows) for way in ways},
        "worst": {way: max(row["errors"][way] for row in rows if way in row["errors"]) for way in ways},
        "worst_of_bound": _short(max(max(row["errors"].values()) / row["bound"] for row in rows)),
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--first", type=int, default=0, help="number of the first configuration")
    parser.add_argument("--device", choices=("sim", "cuda"), default="sim")
    parser.add_argument("--target", help="default: sim, or sm_90 for cuda")
    parser.add_argument("--largest", type=int, help="units of a layer (default: 20, or 256 for cuda)")
    parser.add_argument("--jobs", type=int, default=1, help="processes that compile")
    parser.add_argument("--onnx-from", type=Path, metavar="DIR", help="exported files, instead of exporting")
    parser.add_argument("--export-to", type=Path, metavar="DIR", help="only export, for --onnx-from")
    parser.add_argument("--commit", default="")
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    on_gpu = given.device == "cuda"
    largest = given.largest or (256 if on_gpu else 20)
    numbers = range(given.first, given.first + given.count)
    if given.export_to:
        given.export_to.mkdir(parents=True, exist_ok=True)
        for _ in _each(partial(_export, largest=largest, folder=given.export_to), numbers, given.jobs):
            pass
        return 0
    options = Options(given.device, given.target or ("sm_90" if on_gpu else "sim"), largest, given.onnx_from)
    rows = []
    for row in _each(partial(round_trip, options=options), numbers, given.jobs):
        rows.append(row)
        if not row["agrees"]:
            print("DISAGREES", json.dumps(row), flush=True)
    print(json.dumps(summary(rows), indent=1))
    if given.output:
        write_text(given.output, as_text(given.device, given.commit, rows))
    return 0 if all(row["agrees"] for row in rows) else 1


def as_text(device: str, commit: str, rows: list[Row]) -> str:
    """The result file: what is behind it, a summary, and a row a line."""
    import torch

    head = {"device": device, "gpu": "", "commit": commit, "torch": torch.__version__, **summary(rows)}
    if device == "cuda":
        head["gpu"] = describe_machine(commit)[0]
    lines = ",\n".join("  " + json.dumps(row) for row in rows)
    return f'{json.dumps(head, indent=1)[:-2]},\n "rows": [\n{lines}\n ]\n}}\n'


if __name__ == "__main__":
    sys.exit(main())
