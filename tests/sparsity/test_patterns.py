"""Every pattern draws masks that it accepts, refuses spoiled ones, and reads back as it is written."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sprnnc.language.check import check
from sprnnc.language.parse import parse
from sprnnc.sparsity.patterns import (
    AsStored,
    Balanced,
    BlockDiagonal,
    Blocks,
    Dense,
    NOfM,
    Pattern,
    Unstructured,
    WithDiagonal,
)

DENSITY = st.floats(0, 1)
SMALL = st.integers(1, 5)


@st.composite
def patterns_and_shapes(draw: st.DrawFn) -> tuple[Pattern, int, int]:
    """A pattern, with or without a kept diagonal, and a shape that it can have."""
    r, c, n = draw(SMALL), draw(SMALL), draw(SMALL)
    extra = draw(st.integers(0, 3))
    pattern, row_unit, col_unit = draw(
        st.sampled_from(
            [
                (Dense(), 1, 1),
                (AsStored(), 1, 1),
                (Unstructured(draw(DENSITY)), 1, 1),
                (Blocks(r, c, draw(DENSITY)), r, c),
                (BlockDiagonal(n), n, n),
                (NOfM(n, n + extra), 1, n + extra),
                (Balanced(draw(DENSITY), n), 1, n),
            ]
        )
    )
    rows, cols = row_unit * draw(st.integers(1, 9)), col_unit * draw(st.integers(1, 9))
    if isinstance(pattern, Balanced):
        assume(pattern.shape_error(rows, cols) is None)  # too few columns a bank for its density
    return (WithDiagonal(pattern) if draw(st.booleans()) else pattern), rows, cols


@given(patterns_and_shapes(), st.integers(0, 99))
def test_a_drawn_mask_has_its_pattern(case: tuple[Pattern, int, int], seed: int) -> None:
    pattern, rows, cols = case
    assert pattern.shape_error(rows, cols) is None
    mask = pattern.random_mask(rows, cols, np.random.default_rng(seed))
    assert mask.shape == (rows, cols) and mask.dtype == bool
    assert pattern.violation(mask) is None
    r, c = pattern.tile()
    tiles = mask.reshape(rows // r, r, cols // c, c)
    np.testing.assert_array_equal(tiles.all(axis=(1, 3)), tiles.any(axis=(1, 3)))


@given(patterns_and_shapes(), st.integers(0, 99))
def test_an_added_diagonal_never_spoils_a_mask(case: tuple[Pattern, int, int], seed: int) -> None:
    pattern, rows, cols = case
    mask = pattern.random_mask(rows, cols, np.random.default_rng(seed))
    diagonal = np.eye(rows, cols, dtype=bool)
    kept = WithDiagonal(pattern)
    assert kept.violation(mask) is None
    assert kept.violation(mask | diagonal) is None


@pytest.mark.parametrize("kept_diagonal", [False, True])
@pytest.mark.parametrize(
    ("pattern", "spoil", "says"),
    [
        (Unstructured(0.1), (slice(0, 12), slice(None)), "declared 0.1 of 1024 entries (102)"),
        (Blocks(4, 4, 0.1), (slice(0, 16), slice(None)), "declared 0.1 of 64 blocks (6)"),
        (BlockDiagonal(4), (0, 31), "1 non-zeros lie outside the 4 diagonal blocks"),
        (NOfM(2, 4), (3, slice(8, 12)), "row 3, columns 8 to 11: 4 non-zeros, expected at most 2 of 4"),
        (Balanced(0.25, 4), (5, slice(16, 24)), "row 5, bank 2: 8 non-zeros, expected 2 in every bank"),
    ],
    ids=lambda v: v.describe() if hasattr(v, "describe") else None,
)
def test_a_spoiled_mask_is_refused(
    pattern: Pattern, spoil: tuple[slice, slice], says: str, kept_diagonal: bool
) -> None:
    declared = WithDiagonal(pattern) if kept_diagonal else pattern
    mask = declared.random_mask(32, 32, np.random.default_rng(1))
    mask[spoil] = True
    why = declared.violation(mask)
    assert why is not None and says in why


def test_a_bank_with_too_few_is_refused() -> None:
    mask = Balanced(0.25, 4).random_mask(32, 32, np.random.default_rng(1))
    mask[7, 8:16] = False
    assert Balanced(0.25, 4).violation(mask) == "row 7, bank 1: 0 non-zeros, expected 2 in every bank"


def test_density_may_be_off_by_one_percent_or_an_entry_a_row_up_to_a_tenth() -> None:
    mask = np.zeros((10, 1000), bool)
    mask.reshape(-1)[: 5000 + 50] = True
    assert Unstructured(0.5).violation(mask) is None
    mask.reshape(-1)[5050] = True
    assert Unstructured(0.5).violation(mask) is not None
    small = np.zeros((10, 10), bool)
    small.reshape(-1)[:11] = True
    assert Unstructured(0.1).violation(small) is None
    small.reshape(-1)[11] = True
    assert Unstructured(0.1).violation(small) is not None
    assert Unstructured(0.1).violation(np.zeros((8, 8), bool)) is not None


def test_a_density_of_zero_is_no_entry_at_all() -> None:
    mask = np.zeros((8, 8), bool)
    assert Unstructured(0.0).violation(mask) is None
    mask[0, 0] = True
    assert Unstructured(0.0).violation(mask) is not None


def test_a_balanced_pattern_that_rounds_to_nothing_is_refused() -> None:
    assert "rounds to no non-zero" in (Balanced(0.1, 4).shape_error(8, 8) or "")
    assert Balanced(0.0, 4).shape_error(8, 8) is None
    assert Balanced(0.1, 4).shape_error(40, 40) is None


@pytest.mark.parametrize(
    ("pattern", "shape", "says"),
    [
        (Blocks(4, 4, 0.1), (10, 8), "[10, 8] is not a whole number of 4 x 4 blocks"),
        (Blocks(4, 4, 0.1), (8, 10), "[8, 10] is not a whole number of 4 x 4 blocks"),
        (Blocks(2, 2, 1.5), (8, 8), "the density 1.5 is not from 0 to 1"),
        (BlockDiagonal(3), (9, 10), "[9, 10] cannot be split evenly over 3 heads"),
        (NOfM(2, 4), (4, 6), "6 columns are not a whole number of runs of 4"),
        (NOfM(5, 4), (4, 8), "5 non-zeros cannot be among 4 columns"),
        (Balanced(0.1, 3), (9, 10), "10 columns cannot be split evenly into 3 banks"),
        (Unstructured(-0.1), (4, 4), "the density -0.1 is not from 0 to 1"),
        (WithDiagonal(NOfM(2, 4)), (4, 6), "6 columns are not a whole number of runs of 4"),
    ],
)
def test_a_shape_that_cannot_have_the_pattern(pattern: Pattern, shape: tuple[int, int], says: str) -> None:
    assert pattern.shape_error(*shape) == says


@given(patterns_and_shapes())
def test_a_pattern_reads_back_as_it_is_described(case: tuple[Pattern, int, int]) -> None:
    pattern, rows, cols = case
    source = f"""
cell Probe(R, C) {{
  input  x[C]
  state  h[R]
  weight W[R, C]  {pattern.describe()}
  h' = tanh(W @ x + h)
  output h'
}}
model probe {{
  layer main = Probe(R={rows}, C={cols})
}}
"""
    model = check(parse(source), source=source)
    assert model.cell.weight("W").pattern == pattern
