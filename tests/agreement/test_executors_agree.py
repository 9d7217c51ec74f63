"""The promise of the compiler: whatever the sizes, densities and schedule, every executor agrees."""

from __future__ import annotations

import numpy as np
import pytest
from drawn import CELLS, EXAMPLES, LIMIT, cases
from hypothesis import given, settings
from hypothesis import strategies as st

import sprnnc


@pytest.mark.parametrize("cell", CELLS)
@settings(max_examples=25)
@given(data=st.data())
def test_plan_agrees_with_reference(cell: str, data: st.DataObject) -> None:
    case = data.draw(cases(cell))
    run = sprnnc.execute(case.artifact, case.x, device="plan", check=True)
    assert run.error is not None and run.error < LIMIT[case.artifact.manifest.dtype]


@pytest.mark.parametrize("device", ["plan", "sim"])
@pytest.mark.parametrize("cell", CELLS)
def test_an_example_as_it_stands_agrees_with_reference(cell: str, device: str) -> None:
    artifact = sprnnc.compile(EXAMPLES / f"{cell}.sprnn", random_weights=5, batch=2, target="sim")
    x = np.random.default_rng(1).standard_normal((64, 2, artifact.manifest.input_size)).astype(np.float32)
    run = sprnnc.execute(artifact, x, device=device, check=True)
    assert run.error is not None and run.error < LIMIT["fp32"]


@pytest.mark.parametrize("dtype", sorted(LIMIT))
@pytest.mark.parametrize("cell", CELLS)
@settings(max_examples=2)
@given(data=st.data())
def test_the_generated_kernel_agrees_with_reference(cell: str, dtype: str, data: st.DataObject) -> None:
    case = data.draw(cases(cell, dtype=dtype))
    seed = data.draw(st.integers(0, 99), label="schedule seed")
    run = sprnnc.execute(case.artifact, case.x, device="sim", check=True, seed=seed)
    assert run.error is not None and run.error < LIMIT[dtype]
    reference = sprnnc.execute(case.artifact, case.x, device="reference")
    for name, state in reference.state.items():
        got = run.state[name]
        assert np.linalg.norm(got - state) <= LIMIT[dtype] * max(1.0, float(np.linalg.norm(state)))
