"""The number of devices is a decision: of the user, with a reason, and with a cost that is predicted."""

from __future__ import annotations

import dataclasses
from functools import cache
from pathlib import Path

import pytest

import sprnnc
from sprnnc.explanation import explain_facts, explain_html, gather_facts
from sprnnc.schedule.plan import Plan
from sprnnc.schedule.predict import Prediction, predict
from sprnnc.target import TARGETS

LSTM = Path(__file__).parents[2] / "examples/lstm.sprnn"
SIZES = {"H": 512, "I": 8}
STACK = """\
cell RNN(I, H) {
  input  x[I]
  state  h[H]
  weight W[H, I], U[H, H]
  h' = tanh(W @ x + U @ h)
  output h'
}
model stack {
  input x[5]
  layer lower = RNN(I=5, H=6) on x
  layer upper = RNN(I=6, H=6) on lower
  output upper
}
"""


@cache
def compiled(target: str = "sm_90", **schedule: object) -> sprnnc.Artifact:
    return sprnnc.compile(
        LSTM, random_weights=1, batch=4, target=target, sizes=SIZES, dtype="fp16", schedule=schedule
    )


def test_one_device_is_the_default_and_says_why() -> None:
    choice = compiled("sim").plan.choices.devices
    assert (choice.value, choice.by_user) == (1, False)
    assert "link" in choice.reason


def test_units_spread_over_the_blocks_of_all_devices() -> None:
    choices = compiled(devices=2).plan.choices
    assert choices.devices.by_user
    assert (choices.blocks.value, choices.all_blocks) == (128, 256)
    assert "512 units over 2 x 132 SMs: 2 a block" in choices.blocks.reason
    assert compiled("sim", devices=2, blocks=3).plan.choices.all_blocks == 6


def test_the_language_has_it() -> None:
    text = LSTM.read_text() + "schedule {\n  devices = 3\n}\n"
    artifact = sprnnc.compile(text, random_weights=1, target="sim")
    assert artifact.plan.choices.devices.value == 3
    assert artifact.manifest.devices == 3


@pytest.mark.parametrize("value", [0, 9, -1])
def test_a_host_has_one_to_eight(value: int) -> None:
    with pytest.raises(sprnnc.CompileError, match=r"E404.*devices = .* expected 1 to 8 devices"):
        compiled("sim", devices=value)


@pytest.mark.parametrize(("decision", "value", "why"), [
    ("input_products", "joined", "products in the loop are not dealt to several devices yet"),
    ("resets", "by_mask", "a mask was not tried on several devices yet"),
])  # fmt: skip
def test_what_has_no_meaning_on_several_devices_is_refused(decision: str, value: str, why: str) -> None:
    message = f"E404.*devices = 2 with {decision} = {value} cannot be: {why}"
    with pytest.raises(sprnnc.CompileError, match=message):
        compiled("sim", **{"devices": 2, decision: value})


@pytest.mark.parametrize("kernels", ["each", "in_turn", "wavefront"])
def test_a_network_is_on_one_device(kernels: str) -> None:
    schedule = {"devices": 2, "kernels": kernels}
    why = "E404.*devices = 2 .* cannot be: layers that follow each other share the memory of one device"
    with pytest.raises(sprnnc.CompileError, match=why):
        sprnnc.compile(STACK, random_weights=1, target="sim", schedule=schedule)


def test_a_small_layer_pays_for_the_link() -> None:
    one, two = (gather_facts(compiled(devices=d)).prediction for d in (1, 2))
    assert one and two
    assert one.link == 0.0 and "link" not in dict(one.parts)
    sm_90, size = TARGETS["sm_90"], 512 * 4 * 2
    assert two.link == pytest.approx(sm_90.link_us + size / 2 / sm_90.link_bytes_per_us)
    assert two.floor == pytest.approx(two.exchange + two.link)
    assert two.total == pytest.approx(sum(us for _, us in two.parts)) and two.total > one.total


def test_a_layer_that_streams_its_weights_gains_by_devices_that_hold_them() -> None:
    plans, predictions = zip(*(on_measured_devices(d) for d in (1, 4)), strict=True)
    streamed = [sum(p.streamed_slots for p in plan.phases) for plan in plans]
    assert streamed[0] > 0 and streamed[1] == 0
    assert predictions[1].gather < predictions[0].gather / 4  # a quarter of the work, and nothing is streamed
    assert predictions[1].total < predictions[0].total


def on_measured_devices(devices: int) -> tuple[Plan, Prediction]:
    """A layer that is too large for one small device of which everything is known."""
    cell = "cell E(H) {\n  input x[H]\n  state h[H]\n  weight U[H, H]  sparse(0.5)\n  h' = tanh(x + U @ h)\n"
    text = cell + "  output h'\n}\nmodel m {\n  dtype fp16\n  layer main = E(H=640)\n}\n"
    artifact = sprnnc.compile(text, random_weights=0, target="sim", schedule={"devices": devices})
    facts, exchange_us = gather_facts(artifact), ((1024, 0.5), (4096, 1.0))
    measured = {"clock_ghz": 2.0, "exchange_us": exchange_us, "link_us": 0.5, "link_bytes_per_us": 1e5}
    target = dataclasses.replace(TARGETS["sim"], **measured)
    used, costs = ({i: getattr(p, what) for i, p in facts.phases.items()} for what in ("used", "cost"))
    prediction = predict(artifact.plan, facts.recurrence, target, used, costs)
    assert prediction
    return artifact.plan, prediction


def test_what_is_sent_grows_with_the_devices() -> None:
    target = dataclasses.replace(TARGETS["sm_90"], link_us=1.0, link_bytes_per_us=100.0)
    costs = [target.link_floor_us(800, d) for d in (1, 2, 4, 8)]
    assert costs == [0.0, 1.0 + 4.0, 1.0 + 6.0, 1.0 + 7.0]


def test_nothing_is_predicted_where_no_link_is_known() -> None:
    assert TARGETS["sm_80"].link_floor_us(800, 2) is None
    assert gather_facts(compiled("sim", devices=2)).prediction is None


def test_explain_says_it_all() -> None:
    facts = gather_facts(compiled(devices=2))
    text = explain_facts(facts)
    assert facts.prediction is not None
    assert "devices           2         (yours) the schedule says so" in text
    assert f"link              {facts.prediction.link:.3f}" in text
    assert "the exchange and the link alone" in text
    assert "over links        4096 (each value to all other devices)" in text
    page = explain_html(facts)
    assert "devices × blocks × threads" in page and "floor: exchange and link alone" in page
