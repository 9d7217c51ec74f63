"""Problems: exact densities, equal numbers for everybody, and files that give them back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.cases import Case
from benchmarks.cells import CellKind, Mode
from benchmarks.peers.inputs import Csr, InputStore
from benchmarks.peers.outcome import Precision
from benchmarks.problem import STORAGE, draw_problem, load_problem, reference, relative_error, save_problem

CASE = Case(CellKind.LSTM, 40, 3, 0.1, steps=5)


@pytest.mark.parametrize(("density", "count"), [(0.01, 16), (0.1, 160), (0.303, 485), (1.0, 1600)])
@pytest.mark.parametrize("dtype", ["fp16", "bf16", "fp32"])
def test_every_matrix_has_exactly_the_density(density, count, dtype):
    problem = draw_problem(replace(CASE, density=density, dtype=dtype))
    assert [np.count_nonzero(m) for m in problem.recurrent] == [count] * 4
    assert problem.case.nonzeros == count


@pytest.mark.parametrize("dtype", ["fp16", "bf16", "fp32"])
@pytest.mark.parametrize("mode", Mode)
def test_the_storage_type_holds_every_number(dtype, mode):
    problem = draw_problem(replace(CASE, dtype=dtype, mode=mode))
    arrays = [problem.recurrent, problem.bias, problem.x]
    arrays += [] if problem.input_weights is None else [problem.input_weights]
    for array in arrays:
        assert array.dtype == np.float32
        assert np.array_equal(array.astype(STORAGE[dtype]).astype(np.float32), array)


def test_the_recurrence_is_a_contraction():
    problem = draw_problem(replace(CASE, kind=CellKind.RNN, hidden=200, density=0.1))
    assert np.abs(np.linalg.eigvals(problem.recurrent[0])).max() < 0.7


def test_a_problem_depends_on_its_name_alone():
    first, again, other = draw_problem(CASE), draw_problem(CASE), draw_problem(replace(CASE, batch=2))
    assert np.array_equal(first.recurrent, again.recurrent)
    assert np.array_equal(first.x, again.x)
    assert not np.array_equal(first.recurrent, other.recurrent)


@pytest.mark.parametrize("dtype", ["fp16", "bf16", "fp32"])
@pytest.mark.parametrize("mode", Mode)
def test_a_saved_problem_comes_back(tmp_path, dtype, mode):
    problem = draw_problem(replace(CASE, dtype=dtype, mode=mode))
    expected = reference(problem)
    save_problem(problem, expected, tmp_path / "p.npz")
    loaded, y = load_problem(problem.case, tmp_path / "p.npz")
    assert np.array_equal(y, expected)
    assert loaded.tensors().keys() == problem.tensors().keys()
    assert all(np.array_equal(a, problem.tensors()[n]) for n, a in loaded.tensors().items())
    assert np.array_equal(loaded.x, problem.x)
    assert [p.name for p in tmp_path.iterdir()] == ["p.npz"]


def test_relative_error():
    assert relative_error(np.array([3.0, 4.0]), np.array([3.0, 3.0])) == pytest.approx(1 / 18**0.5)
    assert relative_error(np.array([np.nan, 1.0]), np.array([1.0, 1.0])) == np.inf


def test_peer_inputs_repeat_the_columns_and_hold_the_same_numbers():
    problem = draw_problem(replace(CASE, mode=Mode.LAYER))
    store = InputStore(problem)
    for precision in (Precision.FP16, Precision.TF32, Precision.FP32, Precision.BF16):
        inputs = store.inputs(precision, 8)
        assert inputs.recurrent.dtype == (np.float16 if precision is Precision.FP16 else np.float32)
        assert inputs.x.shape == (5, 8, 40)
        assert np.array_equal(inputs.x[:, 3:6], problem.x)
        assert np.array_equal(inputs.recurrent, problem.recurrent)
        assert np.array_equal(inputs.input_weights, problem.input_weights)
        assert len(inputs.sparse.values) == problem.case.total_nonzeros


def test_csr_holds_the_matrix():
    matrix = np.array([[0, 2, 0], [0, 0, 0], [1, 0, 3]], np.float32)
    csr = Csr.of(matrix)
    assert csr.row_offsets.tolist() == [0, 1, 1, 3]
    assert csr.columns.tolist() == [1, 0, 2]
    assert csr.values.tolist() == [2, 1, 3]
