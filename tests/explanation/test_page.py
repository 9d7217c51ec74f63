"""The page: complete in itself, well formed, and about everything that the text is about."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from strict_html import check_page, read

import sprnnc
from sprnnc.explanation import Facts, explain_html, gather_facts
from sprnnc.explanation.page import make_page
from sprnnc.layout.cycles import Bound
from sprnnc.measurement import Measurement
from sprnnc.schedule.predict import Prediction

GRU = """
cell GRU(H) {
  input  x[H]
  state  h[H]
  weight Ur[H, H], Un[H, H]  sparse(0.2)
  r = sigmoid(x + Ur @ h)
  n = tanh(x + Un @ (r * h))
  h' = r * h + (1 - r) * n
  output h'
}
model m {
  layer main = GRU(H=48)
}
schedule {
  prefetch = 3
}
"""


@pytest.fixture(scope="module")
def facts() -> Facts:
    artifact = sprnnc.compile(GRU, random_weights=0, batch=2, target="sim")
    made = Prediction(1.0, 0.3, 0.1, 0.05, (Bound.PIPE, Bound.ISSUE))
    measured = Measurement("", "a GPU", 256, 20, 1.6, 1.5, 1.7)
    return replace(gather_facts(artifact, measured, compare_orders=True), prediction=made)


def test_the_page_is_well_formed_and_needs_nothing_from_outside(facts) -> None:
    html = explain_html(facts)
    check_page(html)
    assert html.count("<svg") > 8


def test_it_holds_every_decision_with_its_reason(facts) -> None:
    words = read(explain_html(facts)).words
    for name, choice in facts.artifact.plan.choices.items():
        assert name in words and choice.text in words and choice.reason in words
    assert words.count("(yours)") == 1


def test_it_holds_both_phases_their_charts_and_orders(facts) -> None:
    page = make_page(facts)
    assert page.phases[0].title == "Phase 1: Ur @ h"
    assert page.phases[1].title.startswith("Phase 2: Un @ ")
    assert all(len(p.charts) == 4 and len(p.orders.rows) == 4 for p in page.phases)


def test_the_time_line_ends_where_the_time_does(facts) -> None:
    chart = make_page(facts).time
    assert chart is not None and chart.width > 1.6
    styles = [s.style for s in chart.shapes]
    assert styles == ["exchange", "gather", "reduce", "activation", "floor", "measured"]
    starts = [float(s.path[1:].split(" ")[0]) for s in chart.shapes[:4]]
    assert starts == pytest.approx([0.0, 1.0, 1.3, 1.4])


def test_without_a_prediction_there_is_no_time_line(facts) -> None:
    page = make_page(replace(facts, prediction=None, measurement=None))
    assert page.time is None
    assert "nothing was measured on sim" in page.time_notes[0]
    read(explain_html(replace(facts, prediction=None, measurement=None)))


def test_a_matrix_without_non_zeros_has_a_page_too() -> None:
    source = GRU.replace("sparse(0.2)", "as_stored")
    empty = {name: np.zeros((48, 48)) for name in ("Ur", "Un")}
    some = empty | {"Un": np.eye(48)}
    for weights in (empty, some):
        page = explain_html(gather_facts(sprnnc.compile(source, weights=weights, target="sim")))
        assert "There are no non-zeros to gather." in read(page).words


def test_names_are_escaped(facts) -> None:
    page = replace(facts, measurement=Measurement("", "<b>&", 1, 1, 1.0, 1.0, 1.0))
    assert "&lt;b&gt;&amp;" in explain_html(page)
