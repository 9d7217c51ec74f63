"""Draws compiled cells: an example's equations, any sizes, densities, layouts and schedules."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import reject
from hypothesis import strategies as st

import sprnnc
from sprnnc.cell.weights import expected_shapes
from sprnnc.language.check import check
from sprnnc.language.parse import parse
from sprnnc.target import find_target

EXAMPLES = Path(__file__).parents[1] / "examples"
CELLS = sorted(p.stem for p in EXAMPLES.glob("*.sprnn"))
LIMIT = {"fp32": 1e-5, "fp16": 1e-2, "bf16": 1e-2}
STEPS = 64
_PATTERN = re.compile(
    r"(sparse|blocks|block_diagonal|n_of_m|balanced)\([^)]*\)|\bdense\b|\bas_stored\b|\+ diagonal"
)


@dataclass(frozen=True)
class Draw:
    """One case: what is compiled and the input it runs on."""

    artifact: sprnnc.Artifact
    x: np.ndarray


def source_of(cell: str, pattern: str = "as_stored") -> str:
    """An example's text with ``pattern`` for every matrix; any matrix fits the one that is given here."""
    lines = (EXAMPLES / f"{cell}.sprnn").read_text().splitlines()
    relaxed = []
    for line in lines:
        if line.strip().startswith("weight") and not line.strip().startswith("#"):
            line = _PATTERN.sub("", line.split("#")[0]).rstrip()
            line += f"  {pattern}" if re.search(r"\[\w+, *\w+\]", line) else ""
        relaxed.append(line)
    return "\n".join(relaxed) + "\n"


def draw_tensors(shapes: Mapping[str, tuple[int, ...]], density: float, seed: int) -> dict[str, np.ndarray]:
    """Contractive random tensors of a density, some rows and columns of every matrix empty."""
    rng = np.random.default_rng(seed)
    tensors = {}
    for name, shape in shapes.items():
        if len(shape) == 1:
            tensors[name] = rng.normal(0, 0.1, shape).astype(np.float32)
            continue
        mask = rng.random(shape) < density
        if density < 1:
            mask[rng.random(shape[0]) < 0.1] = False
            mask[:, rng.random(shape[1]) < 0.1] = False
        scale = 0.4 / np.sqrt(max(1, int(mask.sum(axis=1).max(initial=0))))
        tensors[name] = np.where(mask, rng.normal(0, scale, shape), 0).astype(np.float32)
    return tensors


@st.composite
def cases(draw: st.DrawFn, cell: str, tile: tuple[int, int] | None = None, **fixed: Any) -> Draw:
    """A compiled cell and an input of 64 steps; ``fixed`` pins ``dtype``, ``target``, parts of ``schedule``.

    With ``tile``, every matrix consists of such blocks, of which one index serves all or a part.
    """
    target = find_target(fixed.get("target", "sim"))
    on_gpu = target.arch is not None
    density = draw(st.sampled_from([0.0, 0.03, 0.1, 0.3, 0.7, 1.0]), label="density")
    text = source_of(cell, f"blocks({tile[0]}, {tile[1]}, {density})") if tile else source_of(cell)
    program = parse(text)
    symbols = sorted({name for c in program.cells for name in (s.text for s in c.sizes)})
    unit, most = max(tile or (1, 1)), 300 if on_gpu else 70
    sizes = {name: unit * draw(st.integers(1, most // unit), label=name) for name in symbols}
    batch = draw(st.integers(1, 9), label="batch")
    dtype = fixed.get("dtype") or draw(st.sampled_from(sorted(LIMIT)), label="dtype")
    threads = draw(st.sampled_from([32, 256, 1024] if on_gpu else [32, 64, 96]), label="threads")
    # A GPU's thread keeps the states of its units in registers: more than a few of them would spill.
    fewest_blocks = -(-max(sizes.values()) * 2 * batch // (4 * threads)) if on_gpu else 1
    ways = [("lamport", "threads"), ("barrier", "threads")]
    ways += [("lamport", "bulk")] * 2 if target.bulk_copy else []
    exchange, fetch = draw(st.sampled_from(ways), label="exchange")
    schedule = {
        "exchange": exchange,
        "fetch": fetch,
        "couriers": draw(st.sampled_from([1, 3, 16]), label="couriers"),
        "lanes_per_row": draw(st.sampled_from([-1, 4, 16, 32]), label="lanes a row"),
        "bank_order": draw(st.sampled_from(["folded", "coloured", "greedy", "plain"]), label="bank order"),
        "unit_order": draw(st.sampled_from(["even", "plain"]), label="unit order"),
        "unpack": draw(st.sampled_from(["fitting", "once", "each_step"]), label="unpack"),
        "in_flight": draw(st.sampled_from([1, 8, 16]), label="loads in flight"),
        "prefetch": draw(st.sampled_from([1, 4]), label="prefetch"),
        "blocks": draw(st.integers(min(fewest_blocks, target.sms), target.sms), label="blocks"),
        "threads": threads,
        "polls_in_flight": draw(st.integers(1, 3), label="polls"),
        "register_slots": draw(st.sampled_from([-1, 0, 1, 3]), label="register slots"),
        "shared_slots": draw(st.sampled_from([-1, 0, 2]), label="shared slots"),
        "steps_per_launch": draw(st.sampled_from([7, 64]), label="steps a launch"),
    }
    schedule |= fixed.get("schedule", {})
    seed = draw(st.integers(0, 2**16), label="seed")
    if tile:
        schedule["indices"] = draw(st.sampled_from(["fitting", "block"]), label="indices")
        weights: dict[str, Any] = {"random_weights": seed}
    else:
        model = check(program, source=text, sizes=sizes)
        weights = {"weights": draw_tensors(expected_shapes(model.cell), density, seed)}
    try:
        artifact = sprnnc.compile(
            text, batch=batch, target=target.name, sizes=sizes, dtype=dtype, schedule=schedule, **weights
        )
    except sprnnc.CompileError as error:
        if error.diagnostics[0].code not in ("E411", "E404"):
            raise
        reject()  # the registers of a thread, or the units of a block, are too few for what was drawn
    x = np.random.default_rng(seed).standard_normal((STEPS, batch, artifact.manifest.input_size))
    return Draw(artifact, x.astype(np.float32))
