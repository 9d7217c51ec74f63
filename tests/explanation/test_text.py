"""The explanation as text: predicted times, bank orders, errors of chains."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

import sprnnc
from sprnnc.explanation import explain_facts, gather_facts
from sprnnc.explanation.text import chain_error
from sprnnc.layout.cycles import Bound
from sprnnc.measurement import Measurement
from sprnnc.schedule.predict import Prediction

SOURCE = """
cell Elman(H) {
  input  x[H]
  state  h[H]
  weight U[H, H]  sparse(0.3)
  h' = tanh(x + U @ h)
  output h'
}
model m {
  dtype fp16
  accumulate fp16
  layer main = Elman(H=128)
}
"""


@pytest.fixture(scope="module")
def artifact() -> sprnnc.Artifact:
    return sprnnc.compile(SOURCE, random_weights=0, batch=4, target="sim")


def test_a_prediction_is_shown_by_part_with_its_bound_and_floor(artifact) -> None:
    made = Prediction(0.9, 0.25, 0.07, 0.03, (Bound.PIPE,))
    measured = Measurement("", "a GPU", 256, 20, 1.5, 1.4, 1.6)
    facts = replace(gather_facts(artifact), prediction=made, measurement=measured)
    text = explain_facts(facts)
    assert "gather            0.250  bound by the shared-memory pipe\n" in text
    assert "total             1.250\n" in text
    assert "floor             0.900  the exchange alone\n" in text
    assert "1.500  (1.400 to 1.600) on a GPU, 256 steps, 1.20 times the prediction\n" in text


def test_a_cell_without_matrices_has_sizes(artifact) -> None:
    source = SOURCE.replace("tanh(x + U @ h)", "tanh(x + h)")
    source = source.replace("  weight U[H, H]  sparse(0.3)\n", "")
    made = sprnnc.compile(source, random_weights=0, target="sim")
    assert explain_facts(gather_facts(made)).startswith("m: Elman with H = 128\n")
    assert explain_facts(gather_facts(artifact)).startswith("m: Elman with H = 128\n")


def test_without_measured_constants_nothing_is_predicted(artifact) -> None:
    assert "nothing was measured on sim from which to predict" in explain_facts(gather_facts(artifact))


def test_the_orders_are_compared_where_asked(artifact) -> None:
    facts = gather_facts(artifact, compare_orders=True)
    (phase,) = facts.phases.values()
    coloured, *baselines = phase.orders
    assert [o.order.value for o in phase.orders] == ["coloured", "greedy", "plain"]
    assert coloured.cost.conflicts_per_load == 0 and coloured.slots >= phase.plan.slots
    assert all(o.cost.conflicts_per_load > phase.cost.conflicts_per_load for o in baselines)
    text = explain_facts(facts)
    assert re.search(r"folded \(this\) +\d+ .*\n +coloured .*\n +greedy .*\n +plain ", text)
    assert "bank order  " not in explain_facts(gather_facts(artifact))


def test_the_order_of_an_artifact_is_not_laid_out_again() -> None:
    made = sprnnc.compile(SOURCE, random_weights=0, target="sim", schedule={"bank_order": "greedy"})
    (phase,) = gather_facts(made, compare_orders=True).phases.values()
    assert [o.order.value for o in phase.orders] == ["folded", "coloured", "plain"]
    coloured = phase.orders[1].cost
    assert coloured.wavefronts == coloured.ideal_wavefronts


@pytest.mark.parametrize("additions", [2, 8, 16, 64])
def test_the_error_of_a_pair_of_chains_is_what_rounding_gives(additions: int) -> None:
    rng = np.random.default_rng(0)
    terms = rng.standard_normal((20_000, 2 * additions)) * rng.uniform(-1, 1, (20_000, 2 * additions))
    chains = np.zeros((len(terms), 2))
    for k in range(additions):
        chains = (chains + terms[:, 2 * k : 2 * k + 2]).astype(np.float16).astype(float)
    error = chains.sum(axis=1).astype(np.float16).astype(float) - terms.sum(axis=1)
    bound, expected = map(float, re.findall(r"\d\.\de-\d\d", chain_error(additions)))
    assert np.all(np.abs(error) <= bound * np.abs(terms).sum(axis=1) * 1.05 + additions * 2**-25)
    rms = np.sqrt((error**2).mean() / (terms.sum(axis=1) ** 2).mean())
    assert rms == pytest.approx(expected, rel=0.15)


def test_only_fp16_sums_have_an_error_of_chains(artifact) -> None:
    assert "fp16 chains of 8" in explain_facts(gather_facts(artifact))
    fp32 = sprnnc.compile(
        SOURCE.replace("accumulate fp16", "accumulate fp32"), random_weights=0, target="sim"
    )
    assert "chains" not in explain_facts(gather_facts(fp32))
