"""Whole stacks with columns of different lengths: each column as if it ran alone."""

from __future__ import annotations

import numpy as np
import pytest
from pytorch_state import GATES, documented, random_state, run_imported

from sprnnc.diagnostics import CompileError
from sprnnc.importing import from_state_dict

STEPS, INPUTS = 8, 5
LENGTHS = [8, 3, 0, 1, 5]


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("kind", GATES)
def test_a_column_ends_at_its_own_length(kind: str, both: bool) -> None:
    state = random_state(kind, INPUTS, 6, layers=2, both=both)
    layers = from_state_dict(state, kind if kind in ("tanh", "relu") else None)
    x = np.random.default_rng(0).standard_normal((STEPS, len(LENGTHS), INPUTS))
    before = x.copy()
    y = run_imported(layers, x, LENGTHS)
    for column, length in enumerate(LENGTHS):
        alone = x[:length, column : column + 1]
        np.testing.assert_allclose(y[:length, [column]], documented(kind, state, alone), atol=1e-6)
        assert not y[length:, column].any()
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("lengths", [[8, 9], [8], [8, -1], [8.0, 1.0], [[8, 8]]])
def test_lengths_that_do_not_fit_are_refused(lengths: list[float]) -> None:
    layers = from_state_dict(random_state("GRU", INPUTS, 4))
    with pytest.raises(CompileError, match=r"E709.*expected 2 whole numbers from 0 to 8"):
        run_imported(layers, np.zeros((STEPS, 2, INPUTS)), lengths)


def test_several_stacks_are_not_one() -> None:
    state = random_state("GRU", INPUTS, 4, prefix="a.") | random_state("GRU", INPUTS, 4, prefix="b.")
    with pytest.raises(CompileError, match=r"got 2(.|\n)*there are a, b"):
        run_imported(from_state_dict(state), np.zeros((STEPS, 2, INPUTS)))
    with pytest.raises(CompileError, match="E709"):
        run_imported([], np.zeros((STEPS, 2, INPUTS)))
