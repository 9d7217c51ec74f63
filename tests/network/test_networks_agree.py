"""Whatever the layers and however they are joined, every executor agrees with the reference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from drawn import LIMIT
from drawn_networks import Drawn, networks
from hypothesis import given, settings
from hypothesis import strategies as st

import sprnnc
from sprnnc.cli.random_input import random_input

MODELS = sorted((Path(__file__).parents[2] / "examples/models").glob("*.sprnn"))


def assert_agrees(case: Drawn, device: str, seed: int = 0) -> None:
    """Within the bound of the type, of the norm or, where a dense layer's terms cancel, of one."""
    limit, lengths = LIMIT[case.artifact.manifest.dtype], case.lengths
    run = sprnnc.execute(case.artifact, case.x, case.state, lengths=lengths, device=device, seed=seed)
    reference = sprnnc.execute(case.artifact, case.x, case.state, lengths=lengths, device="reference")
    for column, end in enumerate(lengths or ()):
        assert not run.y[end:, column].any() and not reference.y[end:, column].any()
    assert list(run.state) == list(reference.state)
    for name, exact in {"y": reference.y, **reference.state}.items():
        got = {"y": run.y, **run.state}[name]
        assert np.linalg.norm(got - exact) <= limit * max(1.0, float(np.linalg.norm(exact))), name


@settings(max_examples=40)
@given(case=networks())
def test_plan_agrees_with_reference(case: Drawn) -> None:
    assert_agrees(case, "plan")


@settings(max_examples=3)
@given(case=networks(most_layers=3), seed=st.integers(0, 99))
def test_kernels_agree_with_reference(case: Drawn, seed: int) -> None:
    assert_agrees(case, "sim", seed)


@pytest.mark.parametrize("device", ["plan", "sim"])
@pytest.mark.parametrize("model", MODELS, ids=lambda p: p.stem)
def test_an_example_as_it_stands_agrees_with_reference(model: Path, device: str) -> None:
    artifact = sprnnc.compile(model, random_weights=5, batch=2, target="sim")
    x = random_input(artifact, 20, 1)
    run = sprnnc.execute(artifact, x, device=device, check=True)
    assert run.error is not None and run.error < LIMIT["fp32"]


@settings(max_examples=10)
@given(case=networks())
def test_every_column_is_as_it_is_alone(case: Drawn) -> None:
    """Whatever the other columns are, and wherever they end."""
    run = sprnnc.execute(case.artifact, case.x, case.state, lengths=case.lengths, device="reference")
    ends = case.lengths or [len(case.x)] * case.x.shape[1]
    for column, end in enumerate(ends):
        one = slice(column, column + 1)
        if not end:
            continue
        state = {name: value[one] for name, value in case.state.items()}
        alone = sprnnc.execute(case.artifact, case.x[:end, one], state, device="reference")
        np.testing.assert_allclose(run.y[:end, one], alone.y, rtol=1e-9, atol=1e-12)
        for name, value in alone.state.items():
            np.testing.assert_allclose(run.state[name][one], value, rtol=1e-9, atol=1e-12)
