"""How many blocks and warps a layer gets: as many as its gathers need, and no idle ones to wait for."""

from __future__ import annotations

import numpy as np
import pytest
from drawn import LIMIT

import sprnnc
from sprnnc.cell.weights import random_weights
from sprnnc.language.check import check
from sprnnc.language.parse import parse
from sprnnc.pruning.capacity import plan_of
from sprnnc.schedule.choices import Indices
from sprnnc.schedule.plan import Plan
from sprnnc.target import find_target

CELL = """cell C(H) {{
  input x[H]
  state h[H]
  weight U[H, H] sparse({density})
  h' = tanh(x + U @ h)
  output h'
}}
model m {{
  dtype fp16
  accumulate fp16
  layer main = C(H={hidden})
}}
schedule {{
  {schedule}
}}
"""


def plan(
    hidden: int, density: float = 0.1, batch: int = 4, target: str = "sm_90", schedule: str = ""
) -> Plan:
    model = check(parse(CELL.format(hidden=hidden, density=density, schedule=schedule)))
    return plan_of(model, random_weights(model.cell, 1), batch, find_target(target))


def shape(made: Plan) -> tuple[int, int]:
    return made.choices.blocks.value, made.choices.threads.value


def test_every_warp_gathers_where_the_others_need_not_carry_copies() -> None:
    assert shape(plan(1024)) == (128, 4 * 32)
    assert shape(plan(2304)) == (128, 9 * 32)
    assert plan(1024).phases[0].couriers == plan(1024).phases[0].gather_warps == 4


def test_idle_warps_stay_where_each_would_have_much_to_copy() -> None:
    assert shape(plan(2304, batch=8)) == (128, 512)


def test_idle_warps_go_where_their_registers_are_needed() -> None:
    made = plan(2304, density=0.7, batch=8)
    assert shape(made) == (128, 288)
    assert made.phases[0].register_slots == made.phases[0].slots


def test_small_layers_leave_multiprocessors_alone() -> None:
    assert plan(512).choices.blocks.value == 64
    assert plan(256).choices.blocks.value == 64
    assert plan(768).choices.blocks.value == 96
    assert plan(64).choices.blocks.value == 64  # a unit each


def test_small_layers_take_all_where_a_gather_is_long() -> None:
    assert plan(512, density=0.5).choices.blocks.value == 128


@pytest.mark.parametrize("target", ["sm_80", "sm_90"])
def test_what_the_user_says_stays(target: str) -> None:
    assert shape(plan(512, target=target, schedule="threads = 256\n  blocks = 100")) == (100, 256)


def test_threads_that_load_are_not_idle() -> None:
    assert shape(plan(512, schedule="fetch = threads")) == (128, 256)


def test_blocks_of_one_warp_agree_with_reference() -> None:
    text = CELL.format(hidden=8, density=0.5, schedule="")
    artifact = sprnnc.compile(text, random_weights=1, batch=4, target="sim")
    assert artifact.plan.choices.threads.value == 32
    x = np.random.default_rng(0).standard_normal((20, 4, 8)).astype(np.float32)
    run = sprnnc.execute(artifact, x, device="sim", check=True)
    assert run.error is not None and run.error < LIMIT["fp16"]


@pytest.mark.parametrize("hidden", [148, 172, 256])
def test_fewer_blocks_keep_the_tiles_that_more_have(hidden: int) -> None:
    """148 and 172 units in 64 blocks or fewer could not be owned evenly by fours."""
    blocks = CELL.replace("sparse({density})", "blocks(4, 4, {density})")
    model = check(parse(blocks.format(hidden=hidden, density=0.1, schedule="")))
    made = plan_of(model, random_weights(model.cell, 1), 4, find_target("sm_90"))
    assert made.choices.indices.value is Indices.BLOCK or "cycles" in made.choices.indices.reason
