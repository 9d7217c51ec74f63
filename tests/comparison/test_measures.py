"""Numbers about two outputs are what their names say."""

from __future__ import annotations

import numpy as np
import pytest

from sprnnc.comparison.measures import difference

A = np.array([[[1.0, 2.0], [3.0, -4.0]], [[0.0, 1.0], [2.0, 2.5]]])  # [2, 2, 2]


def test_what_is_the_same_differs_in_nothing() -> None:
    d = difference(A.astype(np.float32), A)
    assert (d.largest, d.rms, d.relative, d.not_finite) == (0, 0, 0, 0)
    assert d.correlation == pytest.approx(1) and d.cosine == pytest.approx(1) and d.same_largest == 1
    np.testing.assert_array_equal(d.by_step, [0, 0])


def test_each_number_is_its_formula() -> None:
    b = A.copy()
    b[0, 0, 0] += 3  # now the largest of its column
    b[1, 1, 1] -= 0.25
    d = difference(A, b)
    assert d.largest == 3
    assert d.rms == pytest.approx(np.sqrt((9 + 0.0625) / 8))
    assert d.relative == pytest.approx(np.sqrt(9.0625) / np.linalg.norm(A))
    assert d.correlation == pytest.approx(np.corrcoef(A.ravel(), b.ravel())[0, 1])
    assert d.cosine == pytest.approx(np.vdot(A, b) / np.linalg.norm(A) / np.linalg.norm(b))
    assert d.same_largest == 3 / 4
    np.testing.assert_allclose(d.by_step, [np.sqrt(9 / 4), np.sqrt(0.0625 / 4)])


def test_values_that_are_no_numbers_are_left_out_and_counted() -> None:
    b = A.copy()
    b[0, 0, 1], b[1, 0, 0] = np.nan, np.inf
    d = difference(A, b)
    assert d.not_finite == 2 and d.largest == 0 and d.correlation == pytest.approx(1)
    assert d.same_largest == 1
    nothing = difference(A * np.nan, b)
    assert nothing.not_finite == 8 and nothing.correlation is None and nothing.same_largest is None


def test_a_constant_has_no_correlation() -> None:
    d = difference(np.zeros((2, 1, 1)), np.ones((2, 1, 1)))
    assert d.correlation is None and d.cosine is None and d.same_largest is None and d.relative > 0


def test_shapes_must_be_the_same() -> None:
    with pytest.raises(ValueError, match="differ"):
        difference(A, A[:1])
