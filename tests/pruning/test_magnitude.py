"""Pruning by magnitude: the pattern holds, and nothing larger was dropped for something smaller."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sprnnc.diagnostics import CompileError
from sprnnc.pruning import Norm, pattern_from_text, prune
from sprnnc.sparsity.patterns import (
    Balanced,
    BlockDiagonal,
    Blocks,
    NOfM,
    Pattern,
    Unstructured,
    WithDiagonal,
)

BASES: list[Pattern] = [
    Unstructured(0.1),
    Unstructured(1.0),
    Unstructured(0.0),
    Blocks(4, 2, 0.2),
    Balanced(0.25, 4),
    NOfM(2, 8),
    BlockDiagonal(4),
]
PATTERNS = [*BASES, *map(WithDiagonal, BASES)]


def matrix(rows: int = 32, cols: int = 32, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, cols)).astype(np.float32)


@pytest.mark.parametrize("norm", Norm)
@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda p: p.describe())
def test_what_is_pruned_has_the_pattern(pattern: Pattern, norm: Norm) -> None:
    before = matrix()
    after = prune({"U": before}, pattern, norm=norm)["U"]
    assert after.pattern == pattern
    assert pattern.violation(after.values != 0) is None
    kept = after.values != 0
    np.testing.assert_array_equal(after.values[kept], before[kept])


@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda p: p.describe())
def test_no_other_mask_of_the_pattern_keeps_more(pattern: Pattern) -> None:
    scores = np.abs(matrix()).astype(np.float64)
    best = scores[pattern.best_mask(scores)].sum()
    rng = np.random.default_rng(1)
    for _ in range(50):
        assert scores[pattern.random_mask(32, 32, rng)].sum() <= best + 1e-9


def test_the_best_blocks_are_found_among_all_choices() -> None:
    scores = np.random.default_rng(2).random((4, 6))
    mask = Blocks(2, 3, 0.5).best_mask(scores)
    sums = [scores[r : r + 2, c : c + 3].sum() for r in (0, 2) for c in (0, 3)]
    assert scores[mask].sum() == pytest.approx(max(a + b for a, b in itertools.combinations(sums, 2)))


def test_the_norm_decides_between_one_large_value_and_many_small_ones() -> None:
    u = np.array([[3, 0.1, 1, 1], [0.1, 0.1, 1, 1]], np.float32)
    assert prune({"U": u}, Blocks(2, 2, 0.5), norm=Norm.L2)["U"].values[0, 0] == 3
    assert prune({"U": u}, Blocks(2, 2, 0.5), norm=Norm.L1)["U"].values[0, 0] == 0


@pytest.mark.parametrize("diagonal", [False, True])
@pytest.mark.parametrize("base", [Unstructured(0.2), Blocks(2, 4, 0.2)])
def test_one_threshold_for_all_matrices(base: Pattern, diagonal: bool) -> None:
    pattern = WithDiagonal(base) if diagonal else base
    matrices = {"small": matrix(seed=1) * np.float32(0.5), "large": matrix(seed=2)}
    pruned = prune(matrices, pattern, together=True, norm=Norm.L1)
    off = ~np.eye(32, dtype=bool) if diagonal else np.ones((32, 32), bool)
    sums, kept = [], []
    for name, m in matrices.items():
        blocks = (np.abs(m) * off).reshape(32 // base.tile()[0], base.tile()[0], 32 // base.tile()[1], -1)
        sums.append(blocks.sum(axis=(1, 3)).ravel())
        mask = ((pruned[name].values != 0) & off).reshape(blocks.shape)
        kept.append(mask.any(axis=(1, 3)).ravel())
        assert pruned[name].pattern.violation(pruned[name].values != 0) is None
        assert np.diag(pruned[name].values).all() or not diagonal
    sums, kept = np.concatenate(sums), np.concatenate(kept)
    assert sums[kept].min() > sums[~kept].max()
    assert kept.sum() == round(0.2 * kept.size)
    assert np.count_nonzero(pruned["large"].values) > 1.2 * np.count_nonzero(pruned["small"].values)


def test_patterns_with_equal_rows_cannot_be_shared_out() -> None:
    with pytest.raises(CompileError, match="--rank gate"):
        prune({"U": matrix(), "V": matrix()}, NOfM(2, 4), together=True)


@pytest.mark.parametrize(
    ("u", "pattern", "code"),
    [
        (np.full((4, 4), np.nan), Unstructured(0.5), "E310"),
        (np.zeros(4), Unstructured(0.5), "E710"),
        (matrix(30, 30), Blocks(4, 4, 0.5), "E710"),
        (matrix(30, 30), NOfM(2, 4), "E710"),
        (np.eye(32), Unstructured(0.5), "E711"),
        (np.eye(32), Balanced(0.5, 4), "E711"),
    ],
)
def test_what_cannot_be_pruned_is_named(u: np.ndarray, pattern: Pattern, code: str) -> None:
    with pytest.raises(CompileError) as raised:
        prune({"U": u, "V": matrix(32, 32)}, pattern)
    assert code in str(raised.value) and "'U'" in str(raised.value)


@given(st.integers(1, 40), st.integers(1, 40), st.floats(0, 1), st.integers(0, 9))
def test_a_density_is_met_to_the_entry(rows: int, cols: int, density: float, seed: int) -> None:
    scores = np.random.default_rng(seed).random((rows, cols)) + 1e-9
    assert Unstructured(density).best_mask(scores).sum() == round(density * rows * cols)


@pytest.mark.parametrize("pattern", [p for p in PATTERNS if p.describe() != "sparse(0) + diagonal"])
def test_patterns_are_read_as_they_are_written(pattern: Pattern) -> None:
    assert pattern_from_text(pattern.describe()) == pattern


@pytest.mark.parametrize(
    "text", ["", "sprase(0.1)", "sparse", "sparse(10)", "sparse(0.1)\n  bias b[A]", "a b"]
)
def test_what_is_no_pattern_is_refused(text: str) -> None:
    with pytest.raises(CompileError, match="E710"):
        pattern_from_text(text)
