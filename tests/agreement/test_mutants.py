"""Breaks generated kernels on purpose: sim must notice every broken one, and pass the whole one."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sprnn_runtime.errors import DeviceError

import sprnnc

EXAMPLES = Path(__file__).parents[2] / "examples"
SEEDS = range(1, 7)
STEPS = 12
WAYS = {
    "lamport": {"fetch": "threads"},
    "bulk": {"fetch": "bulk"},
    "barrier": {"exchange": "barrier"},
    "joined": {"input_products": "joined", "fetch": "bulk"},
    "joined by threads": {"input_products": "joined", "fetch": "threads"},
}


def compiled(way: str) -> sprnnc.Artifact:
    """A two-phase cell: it has every kind of barrier, and what is particular to one of ``WAYS``."""
    return sprnnc.compile(
        EXAMPLES / "gru_reset_before.sprnn",
        random_weights=3,
        batch=2,
        target="sim",
        sizes={"I": 70},  # more than one tile of the input product
        schedule={**WAYS[way], "blocks": 3, "threads": 96},
    )


def without(source: str, pattern: str, replacement: str, nth: int = 0) -> str:
    """``source`` with the ``nth`` match of ``pattern`` replaced."""
    match = list(re.finditer(pattern, source))[nth]
    return source[: match.start()] + match.expand(replacement) + source[match.end() :]


PUBLISH = r"publish<Storage, kWidth>\(slot, (.*), u\.unit >= 0\);"
COMMON = {
    "publish: one block misses one step": (PUBLISH, r"publish<Storage, kWidth>(slot, \1, u.unit >= 0 && !(blockIdx.x == 1 && t == 5));", 0),
    "publish: a writer missing in phase 2": (PUBLISH, r"publish<Storage, kWidth>(slot, \1, u.unit >= 0 && threadIdx.x != 0);", 1),
    "two units' exchange slots swapped": (r"u\.position;", r"(u.position ^ 1);", 0),
    "wrong parity: the operand of the other step": (r"(collect_\w+<.*>\(\s*)slot, operand_1", r"\1slot + (t % 2 ? -1 : 0) * (slot - exchange_1) / (t ? t : 1), operand_1", 0),
    "a round of adding lanes up is missing": (r"distance < LANES;", r"distance < LANES / 2;", 0),
    "gather before the operand is complete": (r"__syncthreads\(\);  // the operand is complete", r"// the operand is complete", 0),
    "gather of phase 2 before the operand is complete": (r"__syncthreads\(\);  // the operand is complete", r"// the operand is complete", 1),
    "a unit's lanes publish another column": (r"u\.batch_column % kWidth, u\.h,", r"(u.batch_column + 1) % kWidth, u.h,", 0),
    "input tile before it is complete": (r"__syncthreads\(\);  // both tiles", r"// both tiles", 0),
    "input tile overwritten too early": (r"__syncthreads\(\);  // every thread is done", r"// every thread", 0),
    "a divergent barrier": (r"__syncthreads\(\);  // the operand is complete", r"if (warp) __syncthreads();  // the operand is complete", 0),
    "slots of a lane swapped": (r"words\[4 \* i \+ j\] = run", r"words[(4 * i + j + 2) % WORDS] = run", 0),
}  # fmt: skip
LAMPORT = {
    "a poll that does not wait": (r"while \(pending\(chunk\[i\]\)\)", r"if (false && pending(chunk[i]))", 0),
}  # fmt: skip
BULK = {
    "a copy that nobody looks at": (r"if \(run.template complete<kLongest>\(lane\)\) return true;", r"return true;", 0),
    "a copy that nobody waits for": (r"wait_for_copies\(run.arrival, parity\);", r";", 0),
    "a courier's run one chunk short": (r"length \* 16, arrival\)", r"(length - 1) * 16, arrival)", 0),
    "the copies of the wrong parity": (r"parity \^= 1;", r";", 0),
}  # fmt: skip
BARRIER = {
    "arrival before the block has published": (r"__syncthreads\(\);  // everything this block", r"// everything this block", 0),
    "read before all blocks have published": (r"__syncthreads\(\);  // all blocks have published", r"// all blocks have published", 0),
    "arrival without release": (r"arrive_release\(counter\);", r"atomicAdd(counter, 1u);", 0),
    "one arrival too few": (r"\* kBlocks, watch", r"* kBlocks - 1, watch", 0),
}  # fmt: skip
JOINED = {
    "inputs of the same step again": (r"\(size_t\)\(t \+ 1\) \* \(", r"(size_t)t * (", 0),
    "an input at another's place": (r"LENGTH \+ places\[k\]", r"LENGTH + places[k ^ 1]", 0),
    "inputs that nobody gathers": (r"if \(asked == 0\) products", r"if (asked == 1) products", 0),
    "inputs asked for while others gather": (r"__syncthreads\(\);  // the operand is complete", r"if (t + 1 < steps && warp == kWarps - 1) Run<kGroups, kChunks3, kPadChunks3>{reinterpret_cast<const Words<4>*>(joined_3) + (t + 1) * kGroups * kChunks3, reinterpret_cast<Words<4>*>(operand_3), kChunks3, arrivals_3}.request(); __syncthreads();  //", 0),
}  # fmt: skip
JOINED_BY_THREADS = {
    "the first inputs for ever": (r"next_3\.store", r"if (false) next_3.store", 0),
    "inputs stored while others gather": (r"__syncthreads\(\);  // the operand is complete", r"next_3.store(operand_3); __syncthreads();  //", 0),
}  # fmt: skip
MUTANTS = [
    (way, name, *change)
    for way, changes in (
        ("lamport", COMMON | LAMPORT),
        ("bulk", COMMON | BULK),
        ("barrier", COMMON | BARRIER),
        ("joined", JOINED),
        ("joined by threads", JOINED_BY_THREADS),
    )
    for name, change in changes.items()
]


@pytest.fixture(scope="module", params=list(WAYS))
def whole(request: pytest.FixtureRequest) -> sprnnc.Artifact:
    return compiled(request.param)


def inputs(artifact: sprnnc.Artifact) -> np.ndarray:
    shape = (STEPS, 2, artifact.manifest.input_size)
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def test_the_whole_kernel_gives_the_same_bits_under_every_schedule(whole: sprnnc.Artifact) -> None:
    runs = [sprnnc.execute(whole, inputs(whole), device="sim", seed=s, check=True) for s in (0, *SEEDS)]
    for run in runs:
        assert run.error is not None and run.error < 1e-6
        np.testing.assert_array_equal(run.y, runs[0].y)


@pytest.mark.parametrize(("way", "name", "pattern", "replacement", "nth"), MUTANTS, ids=lambda v: str(v)[:48])
def test_a_mutant_is_noticed(way: str, name: str, pattern: str, replacement: str, nth: int) -> None:
    artifact = compiled(way)
    broken = replace(artifact, kernel_source=without(artifact.kernel_source, pattern, replacement, nth))
    assert broken.kernel_source != artifact.kernel_source
    assert any(noticed(broken, seed) for seed in SEEDS), f"nobody noticed: {name}"


def noticed(broken: sprnnc.Artifact, seed: int) -> bool:
    """Whether one schedule shows the fault: a report, or a wrong result."""
    try:
        run = sprnnc.execute(broken, inputs(broken), device="sim", seed=seed, check=True)
    except DeviceError:
        return True
    return run.error is None or not run.error < 1e-5
