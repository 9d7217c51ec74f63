"""Decisions, tiers and shared memory; what cannot be is refused with what would fit."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import sprnnc
from sprnnc.cell.ir import DType
from sprnnc.diagnostics import CompileError
from sprnnc.language.check import check
from sprnnc.language.parse import parse
from sprnnc.passes.phases import split_into_phases
from sprnnc.schedule.banks import gather_cost
from sprnnc.schedule.choices import Tier
from sprnnc.schedule.choose import choose
from sprnnc.schedule.memory import fixed_memory
from sprnnc.target import find_target

LSTM = Path(__file__).parents[2] / "examples" / "lstm.sprnn"


def compiled(target: str = "sim", batch: int = 2, **schedule: object) -> sprnnc.Artifact:
    return sprnnc.compile(LSTM, random_weights=1, batch=batch, target=target, schedule=schedule)


def code_of(caught: pytest.ExceptionInfo[CompileError]) -> str:
    return caught.value.diagnostics[0].code


@pytest.mark.parametrize(("dtype", "batch", "width"), [
    ("fp32", 1, 1), ("fp32", 2, 2), ("fp32", 3, 4), ("fp32", 9, 4),
    ("fp16", 1, 2), ("fp16", 4, 4), ("fp16", 5, 8), ("bf16", 9, 8),
])  # fmt: skip
def test_one_load_serves_as_many_columns_as_it_holds(dtype: str, batch: int, width: int) -> None:
    plan = sprnnc.compile(LSTM, random_weights=1, batch=batch, target="sim", dtype=dtype).plan
    assert plan.width == width
    assert plan.groups * width >= batch > (plan.groups - 1) * width


def test_slots_fill_the_tiers_in_order() -> None:
    phase = compiled(register_slots=5, shared_slots=4).plan.phases[0]
    assert (phase.register_slots, phase.shared_slots) == (5, 3)  # a load holds two
    assert phase.streamed_slots > 0
    tiers = [s.tier for g in phase.row_groups for _ in range(g.items) for s in g.segments]
    assert tiers == sorted(tiers, key=list(Tier).index)


def test_bulk_copies_go_with_lamport_alone_and_only_where_there_are_any() -> None:
    assert compiled().plan.phases[0].couriers > 0
    assert compiled(exchange="barrier").plan.phases[0].couriers == 0
    assert compiled(target="sm_80").plan.phases[0].couriers == 0
    for target, schedule in (("sim", {"exchange": "barrier", "fetch": "bulk"}), ("sm_80", {"fetch": "bulk"})):
        with pytest.raises(CompileError, match="bulk") as caught:
            compiled(target, **schedule)
        assert code_of(caught) == "E404"


def test_every_decision_has_a_reason_and_says_whose_it_is() -> None:
    choices = compiled(blocks=3).plan.choices
    assert choices.blocks.value == 3 and choices.blocks.by_user
    for name in choices.__slots__:
        choice = getattr(choices, name)
        assert choice.reason
        assert choice.by_user is (name == "blocks")


def test_the_schedule_block_and_the_argument_override() -> None:
    text = LSTM.read_text() + "schedule {\n  exchange = barrier\n  threads = 32\n}\n"
    plan = sprnnc.compile(text, random_weights=1, target="sim", schedule={"threads": 96}).plan
    assert plan.choices.exchange.value.value == "barrier"
    assert plan.choices.threads.value == 96


@pytest.mark.parametrize(("name", "value", "code", "words"), [
    ("block", 3, "E402", "did you mean 'blocks'"),
    ("threads", 33, "E404", "multiple of 32"),
    ("blocks", 5, "E404", "1 to 4 blocks"),
    ("column_width", 3, "E404", "1, 2, 4"),
    ("exchange", "gossip", "E403", "lamport or barrier"),
    ("unroll", "many", "E403", "integer"),
    ("unroll", True, "E403", "integer"),
    ("chain", 65, "E404", "1 to 64"),
    ("register_slots", -2, "E404", "-1"),
])  # fmt: skip
def test_an_impossible_decision_is_refused(name: str, value: object, code: str, words: str) -> None:
    with pytest.raises(CompileError) as caught:
        compiled(**{name: value})
    assert code_of(caught) == code
    assert words in str(caught.value)


def test_several_wrong_decisions_are_reported_at_once_with_their_place() -> None:
    text = LSTM.read_text() + "schedule {\n  threads = 33\n  blcks = 2\n}\n"
    with pytest.raises(CompileError) as caught:
        sprnnc.compile(text, random_weights=1, target="sim")
    assert [d.code for d in caught.value.diagnostics] == ["E404", "E402"]
    assert [d.span.line for d in caught.value.diagnostics] == [text.count("\n") - 2, text.count("\n") - 1]


@pytest.mark.parametrize("batch", [0, -1, 65, 2.0, True])
def test_a_batch_that_cannot_be_is_refused(batch: int) -> None:
    with pytest.raises(CompileError) as caught:
        compiled(batch=batch)
    assert code_of(caught) == "E405"


def test_an_unknown_target_lists_the_known_ones() -> None:
    with pytest.raises(CompileError, match="did you mean 'sm_90'") as caught:
        compiled(target="sm90")
    assert code_of(caught) == "E401"


def test_a_size_that_no_block_holds_says_what_would_fit() -> None:
    with pytest.raises(CompileError, match="this would fit") as caught:
        sprnnc.compile(LSTM, random_weights=1, batch=64, target="sim", sizes={"H": 4096})
    assert code_of(caught) == "E410"
    words = str(caught.value)
    fitting = int(words.split("batch ")[-1].split(",")[0])
    assert (
        sprnnc.compile(LSTM, random_weights=1, batch=fitting, target="sim", sizes={"H": 4096}).plan.batch
        == fitting
    )


@pytest.mark.parametrize(
    ("size", "batch", "schedule"),
    [
        (4096, 64, {}),
        (8191, 2, {}),
        (12289, 1, {}),
        (12300, 3, {"column_width": 4}),
        (13000, 1, {"column_width": 1}),
        (100000, 1, {}),
        (100000, 64, {}),
    ],
)
def test_only_what_fits_is_offered(size: int, batch: int, schedule: dict[str, int]) -> None:
    def lay_out(size: int, batch: int, dtype: str | None = None) -> None:
        model = check(parse(LSTM.read_text()), sizes={"H": size}, dtype=DType(dtype) if dtype else None)
        target, recurrence = find_target("sim"), split_into_phases(model.cell)
        fixed_memory(model, recurrence, choose(model, recurrence, batch, target, schedule), batch, target)

    with pytest.raises(CompileError) as caught:
        lay_out(size, batch)
    assert code_of(caught) == "E410"
    words = str(caught.value).split("this would fit: ")[1]
    if offered := re.search(r"batch (\d+)", words):
        lay_out(size, int(offered[1]))
    if offered := re.search(r"vectors of (\d+) values", words):
        lay_out(int(offered[1]), batch)
    if "fp16" in words:
        lay_out(size, batch, "fp16")
    else:
        with pytest.raises(CompileError):
            lay_out(size, batch, "fp16")


def test_more_blocks_than_units_is_allowed() -> None:
    artifact = sprnnc.compile(LSTM, random_weights=1, target="sim", sizes={"H": 3}, schedule={"blocks": 4})
    x = np.random.default_rng(0).standard_normal((9, 1, 16)).astype(np.float32)
    run = sprnnc.execute(artifact, x, device="sim", check=True)
    assert run.error is not None and run.error < 1e-6


def test_bank_conflicts_are_counted_as_the_hardware_does() -> None:
    plan = sprnnc.compile(LSTM, random_weights=1, batch=1, target="sim").plan
    assert plan.row_bytes == 4 and plan.dtype is DType.FP32
    free = np.arange(32, dtype=np.int32).reshape(1, 1, 1, 32)
    same_address = np.zeros((1, 1, 1, 32), np.int32)
    one_bank = free * 32
    pairs = np.where(free < 16, free, free + 16)  # lanes 16 to 31 meet lanes 0 to 15 in their banks
    costs = [gather_cost(plan, p, 4096) for p in (free, same_address, one_bank, pairs)]
    assert [c.wavefronts for c in costs] == [1, 1, 32, 2]
    assert [c.conflicts_per_load for c in costs] == [0, 0, 31, 1]
    assert costs[0].padding == 0


def test_a_wide_load_takes_a_wavefront_for_every_128_bytes() -> None:
    plan = sprnnc.compile(LSTM, random_weights=1, batch=4, target="sim").plan
    assert plan.row_bytes == 16
    free = np.arange(32, dtype=np.int32).reshape(1, 1, 1, 32)
    cost = gather_cost(plan, free, 4096)
    assert (cost.loads, cost.wavefronts, cost.conflicts_per_load) == (1, 4, 0)


def test_a_large_batch_compiles_for_a_gpu_without_spills() -> None:
    artifact = sprnnc.compile(
        LSTM, random_weights=1, batch=32, target="sm_90", dtype="fp16", sizes={"H": 1024, "I": 16}
    )
    assert artifact.manifest.resources["recurrence"].spill_bytes == 0
