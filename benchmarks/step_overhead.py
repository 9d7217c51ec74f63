"""Microseconds of Python that a streamed step costs, with a driver that does nothing.

Run it as ``python -m benchmarks.step_overhead``. What the driver takes for its calls comes on top.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from statistics import median

import pytest

import sprnnc

ROOT = Path(__file__).parents[1]
REPEATS, CALLS = 20, 2000


def main() -> None:
    sys.path.insert(0, str(ROOT / "tests/runtime"))
    from quiet_driver import on_gpu, quiet_layer

    artifact = sprnnc.compile(ROOT / "examples/lstm.sprnn", random_weights=1, batch=1, target="sm_90")
    with pytest.MonkeyPatch.context() as patch:
        layer, driver = quiet_layer(artifact, patch)
        x = on_gpu(1, 1, artifact.manifest.input_size)
        stream = layer.stream(stream=7)
        step = stream.bind(x)
        for name, call in (
            ("bound", step),
            ("stream", lambda: stream(x)),
            ("layer", lambda: layer(x, stream=7)),
        ):
            print(f"{name:<8} {measure(call, driver):.2f} us a step of one")


def measure(call: object, driver: object) -> float:
    """Median microseconds of one call, of the processor: others may share it."""
    times = []
    for _ in range(REPEATS):
        began = time.process_time()
        for _ in range(CALLS):
            call()  # type: ignore[operator]
        times.append((time.process_time() - began) / CALLS * 1e6)
        driver.calls.clear()  # type: ignore[attr-defined]
    return median(times)


if __name__ == "__main__":
    main()
