"""The simulator's 16-bit types are those of NumPy and ml_dtypes, bit for bit; NaN payloads may differ."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
import sim_kernels as k
from sprnn_runtime.sim import Simulator

EVERY = np.arange(65536, dtype=np.uint32).astype(np.uint16)


@pytest.fixture(scope="module")
def sim() -> Simulator:
    return k.build()


def floats() -> np.ndarray:
    """Every 16-bit value, every tie between neighbours and what is next to it, and random bits."""
    parts = [np.random.default_rng(0).integers(0, 2**32, 100_000, np.uint32).view(np.float32)]
    for kind in (np.float16, ml_dtypes.bfloat16):
        exact = EVERY.view(kind).astype(np.float32)
        exact = np.sort(exact[np.isfinite(exact)]).astype(np.float64)
        ties = ((exact[1:] + exact[:-1]) / 2).astype(np.float32)
        with np.errstate(over="ignore"):
            near = [np.nextafter(ties, np.float32(s)) for s in (-np.inf, np.inf)]
        parts += [exact.astype(np.float32), ties, *near]
    edges = [65504.0, 65519.99, 65520.0, 65536.0, 3.3895314e38, 3.4028235e38, np.inf, np.nan, 0.0, 1e-45]
    parts.append(np.array([*edges, *(-e for e in edges)], np.float32))
    return np.concatenate(parts)


def assert_same_bits(got: np.ndarray, expected: np.ndarray) -> None:
    nan = np.isnan(expected)
    np.testing.assert_array_equal(np.isnan(got), nan)
    bits = np.dtype(f"u{got.itemsize}")
    np.testing.assert_array_equal(got.view(bits)[~nan], expected.view(bits)[~nan])


def test_every_16_bit_value_widens_exactly(sim: Simulator) -> None:
    half, bf16 = np.zeros(65536, np.float32), np.zeros(65536, np.float32)
    sim.launch("widen", grid=1, block=32, shared_bytes=0, args=[half, bf16])
    assert_same_bits(half, EVERY.view(np.float16).astype(np.float32))
    assert_same_bits(bf16, EVERY.view(ml_dtypes.bfloat16).astype(np.float32))


def test_floats_round_to_nearest_even(sim: Simulator) -> None:
    x = floats()
    half, bf16 = np.zeros(x.size, np.float16), np.zeros(x.size, ml_dtypes.bfloat16)
    sim.launch("narrow", grid=1, block=32, shared_bytes=0, args=[x, half, bf16, np.int32(x.size)])
    with np.errstate(over="ignore", invalid="ignore"):
        assert_same_bits(half, x.astype(np.float16))
        assert_same_bits(bf16, x.astype(ml_dtypes.bfloat16))


def test_a_fused_multiply_add_of_halves_rounds_once(sim: Simulator) -> None:
    rng = np.random.default_rng(1)
    a, b, c = (rng.integers(0, 65536, 40_000).astype(np.uint16).view(np.float16) for _ in range(3))
    with np.errstate(all="ignore"):
        c[::3] = -(a[::3].astype(np.float32) * b[::3]).astype(np.float16)  # what cancels shows the rounding
    d = np.zeros_like(a)
    words = [v.view(np.uint32) for v in (a, b, c, d)]
    sim.launch("fma_halves", grid=1, block=32, shared_bytes=0, args=[*words, np.int32(a.size // 2)])
    with np.errstate(all="ignore"):
        product = a.astype(np.float64) * b.astype(np.float64)  # exact: 22 bits
        rounded_twice = product.astype(np.float16) + c
        once = (product + c.astype(np.float64)).astype(np.float16)
    assert_same_bits(d, once)
    assert (once != rounded_twice)[np.isfinite(once)].any(), "the inputs must tell the two apart"
