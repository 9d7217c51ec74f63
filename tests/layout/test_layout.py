"""Partition, layout and packing keep every non-zero, exactly once, where they say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sprnnc.cell.ir import DType
from sprnnc.language.check import check
from sprnnc.language.parse import parse
from sprnnc.layout import layout as stage
from sprnnc.layout.packing import pack_dense, pack_slots, to_storage, unpack_dense, unpack_slots
from sprnnc.layout.partition import NOBODY, partition, verify
from sprnnc.passes.phases import split_into_phases
from sprnnc.passes.recurrence import Recurrence

TEXT = """
cell C(H, R) {
  input  x[H]
  state  h[R], c[H]
  weight U[H, R], V[H, R], P[R, H]
  c' = tanh(U @ h) + (V @ h) * x
  h' = P @ c'
  output h'
}
model m { layer main = C(H=1, R=1) }
"""
sizes = st.integers(1, 60)


def recurrence(h: int, r: int) -> Recurrence:
    return split_into_phases(check(parse(TEXT), source=TEXT, sizes={"H": h, "R": r}).cell)


def matrices(h: int, r: int, density: float, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shapes = {"U": (h, r), "V": (h, r), "P": (r, h)}
    return {
        n: np.where(rng.random(s) < density, rng.standard_normal(s), 0).astype(np.float32)
        for n, s in shapes.items()
    }


def lay_out(h: int, r: int, density: float, blocks: int, warps: int) -> tuple[Recurrence, dict, stage.Layout]:
    cell, weights = recurrence(h, r), matrices(h, r, density, h + 100 * r)
    counts = {n: np.count_nonzero(w, axis=1) for n, w in weights.items()}
    parts = partition(cell, counts, blocks)
    verify(parts)
    layout = stage.lay_out(cell, weights, parts, warps)
    stage.verify(layout)
    return cell, weights, layout


@given(
    h=sizes,
    r=sizes,
    density=st.sampled_from([0.0, 0.1, 1.0]),
    blocks=st.integers(1, 9),
    warps=st.integers(1, 4),
)
def test_the_layout_multiplies_like_the_matrices(
    h: int, r: int, density: float, blocks: int, warps: int
) -> None:
    cell, weights, layout = lay_out(h, r, density, blocks, warps)
    for phase, laid_out in zip(cell.phases, layout.phases, strict=True):
        operand = np.random.default_rng(1).standard_normal(laid_out.columns + 1)
        operand[-1] = 0
        lanes = laid_out.value.astype(np.float64) * operand[laid_out.position]
        ends = np.cumsum(laid_out.slots_of_rank)
        ranks = [
            lanes[:, :, e - s : e].sum(axis=(2, 3)) for s, e in zip(laid_out.slots_of_rank, ends, strict=True)
        ]
        totals = np.concatenate(ranks, axis=1)
        for product in phase.products:
            owned = layout.partition.spaces[product.rows.name]
            column = layout.partition.spaces[cell.phases[phase.index - 1].published[0].space.name].position
            expected = weights[product.weight].astype(np.float64) @ operand[column]
            block, local = np.nonzero(owned.unit != NOBODY)
            got = totals[block, laid_out.total_index[product.name][block, local]]
            np.testing.assert_allclose(got, expected[owned.unit[block, local]], atol=1e-6)


def test_units_are_shared_out_evenly_and_by_weight() -> None:
    _, weights, layout = lay_out(60, 30, 0.3, 7, 2)
    for space in layout.partition.spaces.values():
        counts = (space.unit != NOBODY).sum(axis=1)
        assert counts.max() == -(-len(space.position) // 7)
    load = np.count_nonzero(weights["U"], axis=1) + np.count_nonzero(weights["V"], axis=1)
    owned = layout.partition.spaces["H"]
    loads = np.bincount(owned.block, weights=load, minlength=7)
    assert loads.max() - loads.min() <= load.max()


def test_an_unbalanced_matrix_is_dealt_by_length() -> None:
    """Long rows meet long rows: the slots of a rank are those of its longest row."""
    _, _, layout = lay_out(50, 50, 0.5, 2, 2)
    for phase in layout.phases:
        assert list(phase.slots_of_rank) == sorted(phase.slots_of_rank, reverse=True)


@pytest.mark.parametrize("dtype", list(DType))
@pytest.mark.parametrize("narrow", [False, True])
def test_packing_round_trips(dtype: DType, narrow: bool) -> None:
    if narrow and dtype is DType.FP32:
        narrow = False
    _, _, layout = lay_out(40, 33, 0.4, 3, 2)
    for phase in layout.phases:
        value, position = unpack_slots(pack_slots(phase, dtype, narrow), dtype, narrow)
        np.testing.assert_array_equal(position, phase.position)
        np.testing.assert_array_equal(value, to_storage(phase.value, dtype).astype(np.float32))


@given(rows=sizes, cols=sizes, dtype=st.sampled_from(list(DType)))
def test_dense_packing_round_trips(rows: int, cols: int, dtype: DType) -> None:
    matrix = np.random.default_rng(0).standard_normal((rows, cols)).astype(np.float32)
    unpacked = unpack_dense(pack_dense(matrix, dtype), dtype, cols)
    np.testing.assert_array_equal(unpacked, to_storage(matrix, dtype).astype(np.float32))
