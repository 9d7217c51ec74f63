"""The kernels of ``kernels.cu`` with the device helpers inlined, and NumPy's answer to them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import ml_dtypes
import numpy as np
from sprnn_runtime.sim import Simulator

from sprnnc.compiler import device_helper

HELPERS = ("ptx.cuh", "storage.cuh", "exchange.cuh", "lamport.cuh", "barrier.cuh")
KERNELS = (
    *("ring_fp32", "ring_fp16", "ring_bf16", "all_to_all", "stuck", "two_barriers", "one_leaves"),
    *("one_leaves_the_polls", "one_leaves_the_copies"),
    *("stores_for_ever", "runs_for_ever", "meets_for_ever", "keeps_much"),
    *("shuffles", "tree_sum", "widen", "narrow", "fma_halves"),
)
BLOCKS, THREADS, STEPS = 4, 64, 9
FOREVER = np.uint64(1 << 62)
STORAGE = {"ring_fp32": np.float32, "ring_fp16": np.float16, "ring_bf16": ml_dtypes.bfloat16}


def source() -> str:
    own = Path(__file__).with_name("kernels.cu").read_text(encoding="utf-8")
    return "\n".join([*map(device_helper, HELPERS), own])


def build(defines: Sequence[str] = (), cache_dir: Path | None = None) -> Simulator:
    return Simulator(source(), KERNELS, defines=defines, cache_dir=cache_dir)


def line_of(mark: str) -> str:
    """Where the simulator says that the line marked ``// LINE mark`` is."""
    rows = source().splitlines()
    return f"kernel.cu:{next(i for i, row in enumerate(rows, 1) if row.endswith(f'// LINE {mark}'))}"


def start(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((BLOCKS, THREADS)).astype(np.float32)


def ring(
    sim: Simulator,
    kernel: str = "ring_fp32",
    values: np.ndarray | None = None,
    *,
    silent: int = -1,
    budget_ns: np.uint64 = FOREVER,
    **options: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Values after all steps, and the status words."""
    values = (start() if values is None else values).copy()
    status = np.zeros(8, np.uint32)
    slots = np.full((STEPS, BLOCKS, THREADS), 0xFFFFFFFF, np.uint32)
    args = (values, slots, status, np.int32(STEPS), np.int32(silent), budget_ns)
    sim.launch(kernel, grid=BLOCKS, block=THREADS, shared_bytes=4 * THREADS, args=args, **options)
    return values, status


def ring_expected(kernel: str, values: np.ndarray) -> np.ndarray:
    for _ in range(STEPS):
        left = np.roll(values, 1, axis=0).astype(STORAGE[kernel]).astype(np.float32)
        values = np.float32(0.5) * values + np.float32(0.25) * left
    return values


def all_to_all(sim: Simulator, *, relaxed: bool = False, **options: int) -> np.ndarray:
    values, status = start(), np.zeros(16, np.uint32)
    slots = np.full((STEPS, BLOCKS, THREADS), 0xFFFFFFFF, np.uint32)
    args = (values, slots, status, np.int32(STEPS), FOREVER, np.int32(relaxed))
    shared_bytes = 4 * BLOCKS * THREADS
    sim.launch("all_to_all", grid=BLOCKS, block=THREADS, shared_bytes=shared_bytes, args=args, **options)
    assert status[0] == 0
    return values


def all_to_all_expected() -> np.ndarray:
    values = start()
    for _ in range(STEPS):
        total = np.zeros(THREADS, np.float32)
        for block in values:
            total = total + block
        values = np.float32(0.5) * values + np.float32(0.125) * total
    return values
