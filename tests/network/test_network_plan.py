"""What runs on which buffers: nothing is copied that can be read as it lies."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from small_network import SOURCE

import sprnnc
from sprnnc.cell.network import Network
from sprnnc.diagnostics import InternalError
from sprnnc.language.check import check_program
from sprnnc.language.parse import parse
from sprnnc.schedule.at_once import independent, one_by_one, shares
from sprnnc.schedule.network_parts import part_names
from sprnnc.schedule.network_plan import OUTPUT, Call, Fork, Join, flat, plan_network, verify
from sprnnc.target import find_target

WIDE = SOURCE.replace("I=6", "I=300").replace("I=12", "I=600").replace("H=6", "H=300")
HEAD = SOURCE.split("model ")[0]


def network(*layers: str, output: str) -> Network:
    text = "\n  ".join(["model m {", "input x[6]", *layers, f"output {output}", "}\n"])
    found = check_program(parse(HEAD + text))
    assert isinstance(found, Network)
    return found


def call(layer: str, part: str, source: str) -> Call:
    return Call(layer, part, source, layer, (("h", f"{layer}.h"),))


def cell(name: str, words: str, inputs: int = 6) -> str:
    return f"layer {name} = RNN(I={inputs}, H=6) {words}"


def test_a_chain_copies_nothing() -> None:
    plan = plan_network(network(cell("a", "on x"), cell("b", "on a"), output="b"))
    assert plan.steps == (
        call("a", "a", "x"),
        call("b", "b", "a"),
    )
    assert (plan.input, plan.output) == ("x", "b")


def test_only_a_change_of_direction_is_turned_around() -> None:
    plan = plan_network(network(cell("a", "reverse on x"), cell("b", "reverse on a"), output="b"))
    assert plan.steps == (
        Join("x", "a.in", 0, True, False),
        call("a", "a", "a.in"),
        call("b", "b", "a"),
        Join("b", OUTPUT, 0, True, False),
    )


def test_what_two_layers_read_alike_is_joined_once() -> None:
    both = [cell("a", "on x"), cell("b", "on x"), cell("c", "on a + b"), cell("d", "shares c on a + b")]
    plan = plan_network(network(*both, output="[c, d]"))
    assert [s.source for s in plan.steps if isinstance(s, Call)] == ["x", "x", "c.in", "c.in"]
    assert plan.steps[2:4] == (Join("a", "c.in", 0, False, False), Join("b", "c.in", 0, False, True))
    assert plan.steps[-2:] == (Join("c", OUTPUT, 0, False, False), Join("d", OUTPUT, 6, False, False))


def test_sums_of_lists_are_added_where_they_lie() -> None:
    joined = "[a, b] + [b, a]"
    plan = plan_network(network(cell("a", "on x"), cell("b", "on x"), output=joined))
    places = [(s.source, s.first, s.add) for s in plan.steps if isinstance(s, Join)]
    assert places == [("a", 0, False), ("b", 6, False), ("b", 0, True), ("a", 6, True)]


@pytest.mark.parametrize(
    ("drop", "why"),
    [(0, "a is read before it is whole"), (1, "c.in is added to before"), (2, "b is read before")],
)
def test_a_step_that_is_missing_is_found(drop: int, why: str) -> None:
    m = network(cell("a", "on x"), cell("b", "on x"), cell("c", "on a + b"), output="[b, c]")
    plan = plan_network(m)
    order = [0, 2, 1, 3, 4]  # the first term, its copy, the second term
    steps = [plan.steps[i] for i in order] + list(plan.steps[5:])
    verify(replace(plan, steps=tuple(steps)), m)
    with pytest.raises(InternalError, match=why):
        verify(replace(plan, steps=tuple(s for i, s in enumerate(steps) if i != drop)), m)


def test_a_layer_that_does_not_run_is_found() -> None:
    m = network(cell("a", "on x"), cell("b", "on x"), output="a + b")
    plan = plan_network(m)
    with pytest.raises(InternalError, match="does not run"):
        verify(replace(plan, steps=(plan.steps[0], Join("a", OUTPUT, 0, False, False))), m)


def compiled(source: str, **schedule: Any) -> sprnnc.NetworkArtifact:
    made = sprnnc.compile(source, random_weights=1, target="sm_90", schedule=schedule)
    assert isinstance(made, sprnnc.NetworkArtifact)
    return made


def forks(made: sprnnc.NetworkArtifact) -> list[list[str]]:
    return [
        [s.layer for s in flat([f]) if isinstance(s, Call)] for f in made.plan.steps if isinstance(f, Fork)
    ]


def test_layers_that_do_not_depend_on_each_other_run_at_once_and_share_the_sms() -> None:
    made = compiled(WIDE)
    assert forks(made) == [["a", "b"]]
    blocks = {name: part.plan.choices.blocks.value for name, part in made.parts.items()}
    assert 60 < blocks["a"] + blocks["b"] <= 132
    assert f"a and b fit: {blocks['a']} + {blocks['b']} blocks on 132 SMs" in made.plan.at_once.reason


def test_sms_are_shared_by_those_that_run_at_once_alone() -> None:
    small = network(cell("a", "on x"), cell("b", "on x"), cell("c", "on a + b"), output="c")
    groups = independent(small, ())
    assert groups == (("a", "b"), ("c",))
    assert shares(groups, part_names(small, ()), find_target("sm_90")) == {"a": 66, "b": 66, "c": 132}
    assert shares(one_by_one(groups), part_names(small, ()), find_target("sm_90")) == dict.fromkeys(
        "abc", 132
    )


def test_what_the_user_says_goes_before() -> None:
    off = compiled(SOURCE, at_once="off")
    assert forks(off) == [] and off.plan.at_once.by_user
    many = compiled(WIDE, blocks=100)
    assert forks(many) == []
    assert many.plan.at_once.reason == "a and b have 100 + 100 blocks, more than 132 SMs hold at once"
    assert {part.plan.choices.blocks.value for part in many.parts.values()} == {100}
    with pytest.raises(sprnnc.CompileError, match=r"E403.*expected fitting or off"):
        compiled(SOURCE, at_once="always")


def test_shared_weights_do_not_run_at_once_with_themselves() -> None:
    both = [cell("a", "on x"), cell("b", "shares a on x"), cell("c", "on x")]
    assert independent(network(*both, output="[a, b, c]"), ()) == (("a", "c"), ("b",))


def test_a_fork_whose_branches_meet_is_refused() -> None:
    m = network(cell("a", "on x"), cell("b", "on a"), output="b")
    plan = plan_network(m)
    with pytest.raises(InternalError, match="branches at once meet"):
        verify(replace(plan, steps=(Fork(tuple((step,) for step in plan.steps)),)), m)
