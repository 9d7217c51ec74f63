"""Compiles an LSTM, runs its generated kernel on this machine, and checks it against float64."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import sprnnc

HERE = Path(__file__).parent
STEPS, BATCH = 48, 2
SHADES = " .:-=+*#%@"


def main() -> None:
    artifact = sprnnc.compile(HERE / "lstm.sprnn", random_weights=1, batch=BATCH, target=best_target())
    print(sprnnc.explain(artifact))
    x = np.random.default_rng(0).standard_normal((STEPS, BATCH, artifact.manifest.input_size))
    run = sprnnc.execute(artifact, x.astype(np.float32), check=True)
    print(f"hidden state over {STEPS} steps (rows: 16 of the units, columns: time)")
    for row in picture(run.y[:, 0, :16].T):
        print("  " + row)
    print()
    print(f"ran on {run.device}: {STEPS} steps, batch {BATCH}, {run.seconds:.2f} s in all")
    print(f"relative error against the float64 reference: {run.error:.1e}")
    if run.error is None or not run.error < 1e-5:
        raise SystemExit("the result is wrong")


def best_target() -> str:
    """``sm_90`` where a GPU of that kind is present, else ``sim``."""
    try:
        from cuda.bindings import driver

        if int(driver.cuInit(0)[0]) == 0:
            kind = driver.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR
            if driver.cuDeviceGetAttribute(kind, 0)[1] == 9:
                return "sm_90"
    except (ImportError, RuntimeError):
        pass
    return "sim"


def picture(values: np.ndarray) -> list[str]:
    """Rows of characters, darker for larger magnitudes."""
    scaled = np.abs(values) / max(float(np.abs(values).max()), 1e-9) * (len(SHADES) - 1)
    return ["".join(SHADES[int(v)] for v in row) for row in scaled]


if __name__ == "__main__":
    main()
