"""Whole models: their text compiles, and the report says what was measured of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import sprnnc
from benchmarks.model_cases import GROUP, SPEECH, ModelCase, sparse_weights, translation
from benchmarks.report_models import models_text
from sprnnc.cell.network_weights import network_shapes
from sprnnc.language.check import check_program
from sprnnc.language.parse import parse

ENCODER, DECODER = translation(4)


@pytest.mark.parametrize("case", [SPEECH, ENCODER, DECODER], ids=lambda c: c.name)
def test_a_small_one_of_each_model_runs(case: ModelCase) -> None:
    small = replace(case, inputs=12, hidden=16, batch=2, layers=2)
    network = check_program(parse(small.text), source=small.text)
    weights = sparse_weights(network_shapes(network), 1)
    for matrix in (w for w in weights.values() if w.ndim == 2):
        assert np.count_nonzero(matrix) == round(0.1 * matrix.size)
    schedule = {"blocks": 2, "threads": 32, **small.schedule}
    made = sprnnc.compile(small.text, weights=weights, batch=2, target="sim", schedule=schedule)
    x = np.random.default_rng(0).standard_normal((3, 2, 12)).astype(np.float32)
    error = sprnnc.execute(made, x, device="plan", check=True).error
    assert error is not None and error < 2e-3


def row(**more: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"name": "model-stack", "groups": [GROUP], "cell": "lstm", "H": 64, "B": 1, "T": 9}
    made |= {"layers": 2, "bidirectional": False, "lengths": [], "density": 0.1, "us": 10.0, "required": 3.0}
    made |= {"ways_us": {"chosen": 10.0, "each": 15.0, "wavefront": 10.0}, "rel_error": 1e-4}
    return made | {"peers": {"a": 35.0, "b": "refused: no"}, "best_peer": "a", "ratio": 3.5} | more


def test_the_report_has_every_model_and_way() -> None:
    streamed = {"name": "s", "groups": [GROUP], "cell": "lstm", "H": 64, "density": 0.1}
    times = {"call_us": 9.5, "graph_us": 7.25, "kernels_us": 5.0}
    text = models_text([row(), row(name="model-slow", ratio=2.0), streamed | {"stream": {"joined": times}}])
    assert "| stack | 2 LSTM | 64 | 1 | 9 | 10.00 | a | 35.00 | **3.50** | 3 | yes |" in text
    assert "**2.00** | 3 | **no**" in text
    assert "| stack | 10.0 | 15.0 | 10.0 | 1.50 |" in text
    assert "| LSTM 64, density 0.1 | joined | 9.50 | 7.25 | 5.00 |" in text
    assert models_text([]) == "Not measured.\n"
