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
    limit = LIMIT[case.artifact.manifest.dtype]
    run = sprnnc.execute(case.artifact, case.x, case.state, device=device, seed=seed)
    reference = sprnnc.execute(case.artifact, case.x, case.state, device="reference")
    assert run.state.keys() == reference.state.keys()
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
