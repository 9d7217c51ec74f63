"""What pictures are made of adds up to what is in the artifact; shapes lie where their numbers say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import sprnnc
from sprnnc.explanation import gather_facts
from sprnnc.explanation.charts import heat_cells, rectangle, stacked_bar, stacked_columns
from sprnnc.explanation.counts import nonzeros_by_warp, reads_by_bank, slots_by_warp
from sprnnc.explanation.facts import PhaseFacts
from sprnnc.layout.tile import ONE_VALUE

LSTM = Path(__file__).parents[2] / "examples" / "lstm.sprnn"


@pytest.fixture(scope="module", params=["sparse(0.1)", "blocks(4, 2, 0.25)"])
def phase(request: pytest.FixtureRequest) -> PhaseFacts:
    text = LSTM.read_text().replace("sparse(0.1)", request.param)
    facts = gather_facts(sprnnc.compile(text, random_weights=1, batch=2, target="sim"))
    (only,) = facts.phases.values()
    return only


def test_every_non_zero_lives_in_one_warp(phase) -> None:
    counts = nonzeros_by_warp(phase)
    assert counts.shape == phase.position.shape[:2]
    assert counts.sum() == phase.plan.nonzeros


def test_filled_slots_are_used_and_used_ones_kept(phase) -> None:
    slots = slots_by_warp(phase)
    assert np.all(slots.filled <= slots.used) and np.all(slots.used <= slots.kept)
    filled = slots.filled.sum() * 32 * len(phase.position)
    assert filled * phase.form.tile.values == pytest.approx(phase.plan.nonzeros)


def test_every_non_zero_is_read_from_one_bank(phase) -> None:
    reads = reads_by_bank(phase, 16 // phase.form.tile.run)
    values = phase.form.tile.values
    assert (reads * np.arange(len(reads))).sum() * values == phase.plan.nonzeros
    if phase.form.tile == ONE_VALUE:  # tiles are few here, and share a bank where they must
        assert len(reads) - 1 <= phase.position.shape[2]  # no bank is read twice in a slot


def test_cells_lie_where_their_values_do() -> None:
    shapes = heat_cells(np.array([[0.0, 1.0], [8.0, 4.0]]))
    assert {s.style: s.path for s in shapes} == {
        "heat1": rectangle(1, 0, 1, 1),
        "heat4": rectangle(1, 1, 1, 1),
        "heat8": rectangle(0, 1, 1, 1),
    }
    assert heat_cells(np.zeros((2, 2))) == ()


def test_layers_stand_on_each_other() -> None:
    low, high = stacked_columns((("a", np.array([2.0])), ("b", np.array([1.0]))), 4)
    assert low.path.startswith("M0.09 2h") and high.path.startswith("M0.09 1h")


def test_parts_of_a_bar_follow_each_other() -> None:
    shapes = stacked_bar((("a", 2.0), ("b", 0.0), ("c", 1.0)), 1)
    assert [(s.style, s.path) for s in shapes] == [("a", rectangle(0, 0, 2, 1)), ("c", rectangle(2, 0, 1, 1))]
