"""An edge colouring uses exactly as many colours as the degree, and no node meets one twice."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sprnnc.layout.colouring import colour_edges


@given(
    nodes=st.integers(1, 32), degree=st.integers(0, 40), graphs=st.integers(1, 4), seed=st.integers(0, 2**16)
)
def test_regular_multigraphs_are_coloured_with_their_degree(
    nodes: int, degree: int, graphs: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    left = np.tile(np.arange(nodes * graphs), degree)
    right = np.concatenate(
        [g * nodes + rng.permutation(nodes) for _ in range(degree) for g in range(graphs)] or [[]]
    )
    order = rng.permutation(len(left))
    left, right = left[order].astype(np.int32), right[order].astype(np.int32)
    colour = colour_edges(left, right, degree)
    assert colour.min(initial=0) >= 0 and colour.max(initial=-1) < max(degree, 1)
    for ends in (left, right):
        assert len(set(zip(ends.tolist(), colour.tolist(), strict=True))) == len(ends)
