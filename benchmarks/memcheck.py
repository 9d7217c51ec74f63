"""Runs every example once in every dtype and exchange, for compute-sanitizer to watch."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import sprnnc

CASES = (("fp32", "lamport", 3), ("fp16", "barrier", 1), ("bf16", "lamport", 9))


def main() -> None:
    for path in sorted((Path(__file__).parents[1] / "examples").glob("*.sprnn")):
        for dtype, exchange, batch in CASES:
            artifact = sprnnc.compile(
                path, random_weights=1, batch=batch, dtype=dtype, schedule={"exchange": exchange}
            )
            x = np.random.default_rng(0).standard_normal((8, batch, artifact.manifest.input_size))
            run = sprnnc.execute(artifact, x.astype(np.float32), device="cuda", check=True)
            print(path.stem, dtype, exchange, batch, f"{run.error:.1e}", flush=True)


if __name__ == "__main__":
    main()
