"""The predicted time of a step: parts that add up, and grow with the work."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import sprnnc
from sprnnc.explanation import gather_facts
from sprnnc.layout.cycles import Bound, GatherBounds
from sprnnc.schedule.predict import Prediction, predict
from sprnnc.target import TARGETS

ELMAN = """
cell Elman(H) {{
  input  x[H]
  state  h[H]
  weight U[H, H]  sparse({density})
  h' = {function}(x + U @ h)
  output h'
}}
model m {{
  dtype fp16
  accumulate fp16
  layer main = Elman(H=256)
}}
"""
# A small device with the constants of a large one: built in no time, for no GPU.
MEASURED = replace(TARGETS["sim"], clock_ghz=2.0, exchange_us=((1024, 0.5), (4096, 1.0)))


def predicted(density: float = 0.1, batch: int = 4, function: str = "tanh", **schedule: object) -> Prediction:
    source = ELMAN.format(density=density, function=function)
    artifact = sprnnc.compile(source, random_weights=0, batch=batch, target="sim", schedule=schedule)
    facts = gather_facts(artifact)
    assert facts.prediction is None, "nothing was measured on sim"
    used = {i: p.used for i, p in facts.phases.items()}
    costs = {i: p.cost for i, p in facts.phases.items()}
    made = predict(artifact.plan, facts.recurrence, MEASURED, used, costs)
    assert made is not None
    return made


def test_the_parts_add_up_and_the_floor_is_the_exchange() -> None:
    made = predicted()
    assert made.total == pytest.approx(sum(value for _, value in made.parts))
    assert [name for name, _ in made.parts] == ["exchange", "gather", "reduce", "activation"]
    assert all(value > 0 for _, value in made.parts)
    assert made.floor == MEASURED.exchange_floor_us(256 * 4 * 2)


def test_it_grows_with_density_and_with_batch() -> None:
    sparse, dense, wide = predicted(0.1), predicted(0.4), predicted(0.1, batch=16)
    assert dense.gather > 2 * sparse.gather
    assert dense.exchange == sparse.exchange
    assert wide.exchange > sparse.exchange and wide.gather > sparse.gather


def test_accurate_activations_take_longer() -> None:
    fast, accurate = predicted(activations="fast"), predicted(activations="accurate")
    assert accurate.activation == pytest.approx(2 * fast.activation)


def test_an_order_with_conflicts_is_slower_where_the_pipe_decides() -> None:
    plain, coloured = predicted(0.4, bank_order="plain", threads=512), predicted(0.4, threads=512)
    assert plain.bounds == coloured.bounds == (Bound.PIPE,)
    assert plain.gather > coloured.gather


def test_slots_in_shared_memory_cost_the_pipe_more() -> None:
    registers, shared = (predicted(0.4, threads=512, register_slots=n, lanes_per_row=16) for n in (99, 0))
    assert shared.bounds == (Bound.PIPE,)
    assert shared.gather > registers.gather


def test_a_matrix_without_non_zeros_costs_no_gather() -> None:
    source = ELMAN.format(density=0.1, function="tanh").replace("sparse(0.1)", "as_stored")
    artifact = sprnnc.compile(source, weights={"U": np.zeros((256, 256))}, target="sim")
    facts = gather_facts(artifact)
    made = predict(artifact.plan, facts.recurrence, MEASURED, {}, {})
    assert made is not None
    assert (made.gather, made.reduce, made.bounds) == (0, 0, ())


def test_the_longest_bound_decides() -> None:
    assert GatherBounds(3, 2, 1).decides is Bound.PIPE
    assert GatherBounds(1, 3, 2).decides is Bound.ISSUE
    assert GatherBounds(1, 2, 3).decides is Bound.ALONE
    assert GatherBounds(1, 2, 3).cycles == 3
