"""Runs a weight file's GRU on the GPU in both exchange ways: error against float64, microseconds a step.

    python -m benchmarks.first_light WEIGHTS.npz [--steps 1000] [--floors FLOOR.txt] [--output RESULT.json]

The file holds ``U`` float32 [3H, H] (gates reset, update, cell stacked) and ``b`` [3H]. The floors are what
``exchange_floor.cu`` printed on the same GPU: with them, a row says how many times its floor a step takes.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path

import numpy as np
from sprnn_runtime.layer import open_layer

import sprnnc
from benchmarks.atomic import write_text
from benchmarks.floors import Floors, exchange_bytes
from sprnnc.cell.reference import run_reference

CELL = """
# GRU that resets after the product, with the input already multiplied: x is [3H] pre-activations.
cell GRU(H) {
  input  xr[H], xu[H], xn[H]
  state  h[H]
  weight Ur[H, H], Uu[H, H], Un[H, H]  as_stored
  bias   br[H], bu[H], bn[H]
  r = sigmoid(xr + Ur @ h + br)
  u = sigmoid(xu + Uu @ h + bu)
  n = tanh(xn + r * (Un @ h + bn))
  h' = n + u * (h - n)
  output h'
}
model stored { layer main = GRU(H=%d) }
"""


Row = dict[str, object]


def measure(options: argparse.Namespace, floors: Floors, batch: int, dtype: str, exchange: str) -> Row:
    """Errors and time of one configuration; time is measured on the GPU only.

    ``step_error`` is the largest relative error of one step against float64 from the kernel's own
    previous state. ``free_error`` compares the free-running sequences; this trained cell is chaotic
    under a random input, and any fp32 arithmetic drifts away from float64 within some hundred steps.
    """
    tensors = read_tensors(options.weights)
    size = len(tensors["br"])
    artifact = sprnnc.compile(
        CELL % size,
        weights=tensors,
        batch=batch,
        target=options.target,
        dtype=dtype,
        schedule={"exchange": exchange},
    )
    x = np.random.default_rng(0).standard_normal((options.steps, batch, 3 * size)).astype(np.float32)
    run = sprnnc.execute(artifact, x, device=options.device, check=True)
    row: Row = {
        "H": size,
        "B": batch,
        "T": options.steps,
        "density": round(float(np.mean([np.mean(t != 0) for t in tensors.values() if t.ndim == 2])), 4),
        "dtype": dtype,
        "exchange": exchange,
        "device": run.device,
        "step_error": step_error(artifact, x, run.y),
        "free_error": run.error,
        "seconds": run.seconds,
    }
    if run.device == "cuda":
        with open_layer(artifact.loaded(), "cuda") as layer:
            times = layer.time_us(x)
        row |= {"us_per_step": statistics.median(times), "us_low": min(times), "us_high": max(times)}
        row |= over_floor(statistics.median(times), floors.at(exchange_bytes(size, batch, dtype)))
    return row


def over_floor(us: float, floor_us: float | None) -> Row:
    """The floor of a step's exchange, and how many times as long the step takes; None where unknown."""
    return {"floor_us": floor_us, "over_floor": us / floor_us if floor_us else None}


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """The stacked gates of the file, one tensor each."""
    with np.load(path, allow_pickle=False) as file:
        u, b = file["U"], file["b"]
    size = u.shape[1]
    tensors = {f"U{g}": u[i * size : (i + 1) * size] for i, g in enumerate("run")}
    return tensors | {f"b{g}": b[i * size : (i + 1) * size] for i, g in enumerate("run")}


def step_error(artifact: sprnnc.Artifact, x: np.ndarray, y: np.ndarray) -> float:
    """The largest error of one step: every step is repeated in float64 from the state before it."""
    before = np.concatenate([np.zeros_like(y[:1]), y[:-1]])
    steps, batch, size = x.shape
    columns = x.reshape(1, steps * batch, size), {"h": before.reshape(steps * batch, -1)}
    expected = run_reference(artifact.model.cell, artifact.tensors, *columns)[0].reshape(y.shape)
    norms = np.linalg.norm((y - expected).reshape(steps, -1), axis=1)
    return float(np.max(norms / np.linalg.norm(expected.reshape(steps, -1), axis=1)))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("weights", type=Path)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--batch", type=int, nargs="*", default=[1, 4])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--target", default="sm_90")
    parser.add_argument("--dtypes", nargs="*", default=["fp32", "fp16", "bf16"])
    parser.add_argument("--commit", default="", help="recorded with the results")
    parser.add_argument("--floors", type=Path, metavar="FILE", help="measured exchange floors")
    parser.add_argument("--resume", action="store_true", help="keeps rows that this commit already has")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    cases = [
        (batch, dtype, exchange)
        for batch in options.batch
        for dtype in options.dtypes
        for exchange in ("lamport", "barrier")
    ]
    floors = Floors.read(options.floors) if options.floors else Floors([])
    rows = kept_rows(options.output, options.commit) if options.resume and options.output else []
    known = {(row["B"], row["dtype"], row["exchange"]) for row in rows}
    for case in cases:
        if case in known:
            continue
        rows.append(measure(options, floors, *case))
        print(rows[-1], flush=True)
        if options.output:  # after every row, so that a time limit loses none of them
            result = {"commit": options.commit, "gpu": gpu_name(), "rows": rows}
            write_text(options.output, json.dumps(result, indent=1) + "\n")


def kept_rows(path: Path, commit: str) -> list[Row]:
    """The rows of a run that was cut off; none of another commit, and none that lacks its floor."""
    if not path.exists():
        return []
    stored = json.loads(path.read_text())
    whole = [row for row in stored["rows"] if row.get("over_floor") is not None]
    return whole if stored["commit"] == commit else []


def gpu_name() -> str:
    """The first GPU's name, empty where there is none."""
    try:
        from cuda.bindings import driver

        if int(driver.cuInit(0)[0]) == 0:
            return str(driver.cuDeviceGetName(80, 0)[1].split(b"\0")[0].decode())
    except (ImportError, RuntimeError):
        pass
    return ""


if __name__ == "__main__":
    main()
