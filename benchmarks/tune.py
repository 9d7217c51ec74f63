"""Times schedules side by side on the GPU: every case with every setting, the fastest last.

    python benchmarks/tune.py SETTINGS.json [--output RESULT.json] [--jobs N]

SETTINGS.json: a list of {"cell", "H", "B", "density", "dtype", "accumulate", "settings": [{...}, ...]}; a
setting overrides decisions of the compiler by name. Everything is compiled first, on all processors.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from sprnn_runtime.layer import open_layer

import sprnnc

GATES = {"rnn": "h", "lstm": "ifgo", "gru": "rzn"}
CELLS = {
    "rnn": "h' = tanh(x + Uh @ h)",
    "lstm": """i = sigmoid(x + Ui @ h)
  f = sigmoid(x + Uf @ h)
  g = tanh(x + Ug @ h)
  o = sigmoid(x + Uo @ h)
  c' = f * c + i * g
  h' = o * tanh(c')""",
    "gru": """r = sigmoid(x + Ur @ h)
  z = sigmoid(x + Uz @ h)
  n = tanh(x + r * (Un @ h))
  h' = n + z * (h - n)""",
}
STEPS = 256


def source(case: dict[str, Any]) -> str:
    """The recurrent part of a cell as text: ``x`` is added to every gate."""
    gates, states = GATES[case["cell"]], "h[H], c[H]" if case["cell"] == "lstm" else "h[H]"
    weights = ", ".join(f"U{g}[H, H]" for g in gates)
    return (
        f"cell C(H) {{\n  input x[H]\n  state {states}\n  weight {weights} as_stored\n"
        f"  {CELLS[case['cell']]}\n  output h'\n}}\n"
        f"model m {{\n  dtype {case['dtype']}\n  accumulate {case['accumulate']}\n"
        f"  layer main = C(H={case['H']})\n}}\n"
    )


def tensors(case: dict[str, Any]) -> dict[str, np.ndarray]:
    """Unstructured patterns of exactly the density, representable in fp16."""
    rng, size = np.random.default_rng(case["H"]), case["H"]
    count = round(case["density"] * size * size)
    made = {}
    for gate in GATES[case["cell"]]:
        flat = np.zeros(size * size, np.float32)
        where = rng.choice(size * size, count, replace=False)
        flat[where] = rng.standard_normal(count) * 0.5 / np.sqrt(case["density"] * size)
        made[f"U{gate}"] = flat.astype(np.float16).astype(np.float32).reshape(size, size)
    return made


def build(job: tuple[dict[str, Any], dict[str, Any]]) -> tuple[bytes | None, dict[str, Any]]:
    """An artifact's bytes, or why there is none."""
    case, setting = job
    began = time.perf_counter()
    try:
        artifact = sprnnc.compile(
            source(case), weights=tensors(case), batch=case["B"], target="sm_90", schedule=setting
        )
    except sprnnc.CompileError as error:
        return None, {"refused": str(error)[:300]}
    phase, used = artifact.plan.phases[0], artifact.manifest.resources["recurrence"]
    facts = {
        "lanes": artifact.plan.spaces[0].lanes_per_row,
        "warps": phase.gather_warps,
        "slots": [phase.register_slots, phase.shared_slots, phase.streamed_slots],
        "registers": used.registers,
        "compile_s": round(time.perf_counter() - began, 1),
    }
    return artifact.to_bytes(), facts


def measure(data: bytes, case: dict[str, Any], repeats: int) -> dict[str, float]:
    """Median microseconds a step of one call, and the relative error against float64."""
    from sprnn_runtime.layer import read

    x = np.random.default_rng(1).standard_normal((STEPS, case["B"], case["H"])).astype(np.float16)
    with open_layer(read(data, "artifact"), "cuda") as layer:
        y, _ = layer(x.astype(np.float32))
        times = layer.time_us(x.astype(np.float32), repeats)
    expected = reference(case, x.astype(np.float64))
    error = float(np.linalg.norm(y - expected) / np.linalg.norm(expected))
    return {"us": statistics.median(times), "low": min(times), "error": error}


_known: dict[str, np.ndarray] = {}


def reference(case: dict[str, Any], x: np.ndarray) -> np.ndarray:
    """float64, with SciPy's sparse products."""
    from scipy.sparse import csr_array

    key = json.dumps({k: case[k] for k in ("cell", "H", "B", "density")})
    if key not in _known:
        u = {n: csr_array(t.astype(np.float64)) for n, t in tensors(case).items()}
        h, c, ys = np.zeros((case["H"], case["B"])), 0.0, []
        for x_t in x.transpose(0, 2, 1):
            a = {n[1:]: m @ h for n, m in u.items()}
            if case["cell"] == "rnn":
                h = np.tanh(x_t + a["h"])
            elif case["cell"] == "lstm":
                c = sigmoid(x_t + a["f"]) * c + sigmoid(x_t + a["i"]) * np.tanh(x_t + a["g"])
                h = sigmoid(x_t + a["o"]) * np.tanh(c)
            else:
                r, z = sigmoid(x_t + a["r"]), sigmoid(x_t + a["z"])
                n = np.tanh(x_t + r * a["n"])
                h = n + z * (h - n)
            ys.append(h.T)
        _known[key] = np.stack(ys)
    return _known[key]


def sigmoid(a: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-a))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("settings", type=Path)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--jobs", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    cases = json.loads(options.settings.read_text())
    jobs = [(case, s) for case in cases for s in case["settings"]]
    began = time.perf_counter()
    rows: list[dict[str, Any]] = []
    with ProcessPoolExecutor(options.jobs) as pool:
        for (case, setting), (data, facts) in zip(jobs, pool.map(build, jobs), strict=True):
            row = {k: case[k] for k in ("cell", "H", "B", "density", "dtype")} | {"setting": setting} | facts
            if data is not None:
                try:
                    row |= measure(data, case, options.repeats)
                except Exception as error:  # one bad setting must not lose the others
                    row["failed"] = str(error)[:300]
            rows.append(row)
    print(f"{len(rows)} settings in {time.perf_counter() - began:.0f} s")
    for case in cases:
        mine = [r for r in rows if all(r[k] == case[k] for k in ("cell", "H", "B", "density", "dtype"))]
        print(case["cell"], case["H"], "B", case["B"], case["density"], case["dtype"])
        for r in sorted(mine, key=lambda r: r.get("us", 1e9)):
            print(
                f"  {r.get('us', float('nan')):7.3f} {r.get('low', float('nan')):7.3f}"
                f" err {r.get('error', 0):.1e} L{r.get('lanes')} w{r.get('warps')}"
                f" slots {r.get('slots')} regs {r.get('registers')} {r.get('compile_s')}s {r['setting']}"
                f" {r.get('failed', r.get('refused', ''))[:100]}"
            )
    if options.output:
        options.output.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
