"""Runs a weight file's GRU on the GPU in both exchange ways: error against float64, microseconds a step.

    python benchmarks/first_light.py WEIGHTS.npz [--steps 1000] [--output RESULT.json]

The file holds ``U`` float32 [3H, H] (gates reset, update, cell stacked) and ``b`` [3H].
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path

import numpy as np
from sprnn_runtime.layer import open_layer

import sprnnc

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


def measure(
    weights: Path, steps: int, batch: int, dtype: str, exchange: str, device: str, target: str
) -> dict[str, object]:
    """Error and time of one configuration; time is measured on the GPU only."""
    with np.load(weights, allow_pickle=False) as file:
        u, b = file["U"], file["b"]
    size = u.shape[1]
    tensors = {f"U{g}": u[i * size : (i + 1) * size] for i, g in enumerate("run")}
    tensors |= {f"b{g}": b[i * size : (i + 1) * size] for i, g in enumerate("run")}
    artifact = sprnnc.compile(
        CELL % size, weights=tensors, batch=batch, target=target, dtype=dtype, schedule={"exchange": exchange}
    )
    x = np.random.default_rng(0).standard_normal((steps, batch, 3 * size)).astype(np.float32)
    run = sprnnc.execute(artifact, x, device=device, check=True)
    row: dict[str, object] = {
        "H": size,
        "B": batch,
        "T": steps,
        "dtype": dtype,
        "exchange": exchange,
        "device": run.device,
        "rel_error": run.error,
        "seconds": run.seconds,
    }
    if run.device == "cuda":
        with open_layer(artifact.loaded(), "cuda") as layer:
            times = layer.time_us(x)
        row |= {"us_per_step": statistics.median(times), "us_low": min(times), "us_high": max(times)}
    return row


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("weights", type=Path)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--batch", type=int, nargs="*", default=[1, 4])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--target", default="sm_90")
    parser.add_argument("--dtypes", nargs="*", default=["fp32", "fp16"])
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    rows = []
    for batch in options.batch:
        for dtype in options.dtypes:
            for exchange in ("lamport", "barrier"):
                row = measure(
                    options.weights, options.steps, batch, dtype, exchange, options.device, options.target
                )
                rows.append(row)
                print(row, flush=True)
    if options.output:
        options.output.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
