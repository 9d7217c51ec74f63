"""Matrices of blocks, of which one index serves all values: whatever their shape, every executor agrees."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from drawn import LIMIT, cases, source_of
from hypothesis import given, settings
from hypothesis import strategies as st
from sprnn_runtime.errors import DeviceError

import sprnnc
from sprnnc.build.nvrtc import build_cubin
from sprnnc.layout.tile import ONE_VALUE, Tile
from sprnnc.schedule.choices import Indices

SHAPES = [(r, c) for r in (1, 2, 4, 8) for c in (1, 2, 4, 8) if 1 < r * c <= 16]
CELLS = ["elman_tanh", "gru_reset_after", "gru_reset_before", "lstm", "lstm_projection"]


def compiled(
    source: str,
    dtype: str = "fp16",
    target: str = "sim",
    batch: int = 2,
    sizes: dict[str, int] | None = None,
    **schedule: object,
) -> sprnnc.Artifact:
    """A cell of blocks of which, unless the schedule says otherwise, one index serves as much as fits."""
    return sprnnc.compile(
        source,
        random_weights=3,
        batch=batch,
        target=target,
        dtype=dtype,
        sizes=sizes,
        schedule={"indices": "block"} | schedule,
    )


def error_of(artifact: sprnnc.Artifact, device: str) -> float:
    shape = (24, artifact.plan.batch, artifact.manifest.input_size)
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    error = sprnnc.execute(artifact, x, device=device, check=True).error
    assert error is not None
    return error


@pytest.mark.parametrize("tile", SHAPES, ids=str)
@settings(max_examples=6)
@given(data=st.data())
def test_plan_agrees_with_reference(tile: tuple[int, int], data: st.DataObject) -> None:
    case = data.draw(cases(data.draw(st.sampled_from(CELLS), label="cell"), tile))
    run = sprnnc.execute(case.artifact, case.x, device="plan", check=True)
    assert run.error is not None and run.error < LIMIT[case.artifact.manifest.dtype]


@pytest.mark.parametrize("dtype", sorted(LIMIT))
@settings(max_examples=4)
@given(data=st.data())
def test_the_generated_kernel_agrees_with_reference(dtype: str, data: st.DataObject) -> None:
    tile = data.draw(st.sampled_from(SHAPES), label="tile")
    case = data.draw(cases(data.draw(st.sampled_from(CELLS), label="cell"), tile, dtype=dtype))
    seed = data.draw(st.integers(0, 99), label="schedule seed")
    run = sprnnc.execute(case.artifact, case.x, device="sim", check=True, seed=seed)
    assert run.error is not None and run.error < LIMIT[dtype]


@pytest.mark.parametrize(
    "tiers", [{}, {"register_slots": 2, "shared_slots": 3}, {"register_slots": 0, "shared_slots": 0}], ids=str
)
@pytest.mark.parametrize("blocks", ["4, 4", "2, 4", "8, 1", "2, 1"])
def test_slots_of_any_length_lie_in_any_tier(blocks: str, tiers: dict[str, int]) -> None:
    source = source_of("gru_reset_before", f"blocks({blocks}, 0.3)")
    artifact = compiled(source, batch=9, blocks=2, prefetch=3, **tiers)
    assert artifact.plan.tile != ONE_VALUE
    assert error_of(artifact, "plan") < LIMIT["fp16"] and error_of(artifact, "sim") < LIMIT["fp16"]


@pytest.mark.parametrize("chain", [1, 3, 16])
@pytest.mark.parametrize("device", ["plan", "sim"])
def test_a_chain_is_no_longer_than_it_may_be(device: str, chain: int) -> None:
    source = source_of("elman_tanh", "blocks(2, 8, 0.3)")
    artifact = compiled(source.replace("layer main", "accumulate fp16\n  layer main"), batch=3, chain=chain)
    assert artifact.plan.tile.columns * artifact.plan.chain_slots <= 2 * chain
    assert "TileHalfSums" in artifact.kernel_source
    assert error_of(artifact, device) < LIMIT["fp16"]


@pytest.mark.parametrize("dtype", sorted(LIMIT))
def test_a_slot_holds_one_index_for_all_values_of_its_tile(dtype: str) -> None:
    """At a density of one every place holds a block, so that bytes can be counted."""
    source, sizes = source_of("elman_tanh", "blocks(4, 4, 1)"), {"H": 128, "I": 16}
    block, value = (
        compiled(source, dtype, batch=1, sizes=sizes, indices=i, lanes_per_row=16, register_slots=999)
        for i in ("block", "value")
    )
    assert block.plan.tile == Tile(4, 4, 4) and value.plan.tile == ONE_VALUE
    values, value_bytes = 128 * 128, 4 if dtype == "fp32" else 2
    assert block.packed["slots_1"].nbytes == values * value_bytes + values // 16 * 4
    assert value.packed["slots_1"].nbytes == values * value_bytes * 2


@pytest.mark.parametrize("device", ["plan", "sim"])
def test_nan_and_inf_flow_as_in_the_reference(device: str) -> None:
    artifact = compiled(source_of("elman_relu", "blocks(4, 2, 0.2)"), dtype="fp32")
    x = np.random.default_rng(0).standard_normal((12, 2, artifact.manifest.input_size)).astype(np.float32)
    x[3, 0, 0], x[5, 1, 1] = np.nan, np.inf
    run = sprnnc.execute(artifact, x, device=device)
    expected = sprnnc.execute(artifact, x, device="reference")
    assert np.isnan(expected.y).any() and np.isfinite(expected.y).any()
    np.testing.assert_array_equal(np.isnan(run.y), np.isnan(expected.y))


@pytest.mark.parametrize("cell", ["elman_tanh", "lstm", "gru_reset_after"])
@pytest.mark.parametrize("tile", [(4, 4), (8, 1), (1, 4), (2, 2)], ids=str)
def test_it_builds_for_a_gpu_without_spills(cell: str, tile: tuple[int, int]) -> None:
    source = source_of(cell, f"blocks({tile[0]}, {tile[1]}, 0.2)")
    artifact = compiled(source, target="sm_90", batch=4, sizes={"H": 1024, "I": 16})
    assert (artifact.plan.tile.rows, artifact.plan.tile.columns) == tile
    used = build_cubin(artifact.kernel_source, "sm_90").resources["recurrence"]
    assert (used.spill_bytes, used.stack_bytes) == (0, 0)  # slots and sums stay in registers


def test_it_can_be_saved_loaded_and_explained(tmp_path: Path) -> None:
    artifact = compiled(source_of("elman_tanh", "blocks(4, 4, 0.5)"))
    loaded = sprnnc.Artifact.load(artifact.save(tmp_path / "blocks.sprnnx"))
    assert loaded.to_bytes() == artifact.to_bytes() and loaded.plan == artifact.plan
    saved = 16 * 16 // 2 * (16 * 4 - 36)
    words = f"one for 4 x 4 values, 36 bytes a slot: all take {saved} bytes less than with 4 bytes for"
    assert words in sprnnc.explain(loaded)


def test_a_tile_that_holds_one_non_zero_takes_more_bytes_and_the_explanation_says_so() -> None:
    source = source_of("elman_tanh", "blocks(4, 4, 0.5)")
    weights = {}
    for name, tensor in compiled(source).tensors.items():
        weights[name] = np.zeros_like(tensor)
        if tensor.ndim == 2:
            weights[name][::4, ::4] = tensor[::4, ::4]
    chosen = {"weights": weights, "target": "sim", "dtype": "fp16", "schedule": {"indices": "block"}}
    artifact = sprnnc.compile(source, **chosen)
    assert f"all take {16 * 16 // 2 * (36 - 4)} bytes more than with 4 bytes" in sprnnc.explain(artifact)


@pytest.mark.parametrize(("pattern", "reason"), [
    ("sparse(0.1)", "U is sparse(0.1), which is not made of blocks"),
    ("blocks(4, 4, 0.1) + diagonal", "which is not made of blocks"),
    ("blocks(3, 5, 0.5)", "blocks of 3 x 5 have no side in common that is a power of two"),
])  # fmt: skip
def test_where_every_value_has_an_index_the_reason_is_said(pattern: str, reason: str) -> None:
    source, sizes = source_of("elman_tanh", pattern), {"H": 60, "I": 60}
    choice = compiled(source, sizes=sizes, indices="fitting").plan.choices.indices
    assert choice.value is Indices.VALUE and reason in choice.reason
    with pytest.raises(sprnnc.CompileError, match="indices = block cannot be") as caught:
        compiled(source, sizes=sizes)
    assert caught.value.diagnostics[0].code == "E404"


def test_blocks_that_differ_share_their_common_part() -> None:
    source = source_of("lstm_projection", "blocks(4, 8, 0.3)")
    line = next(n for n in source.splitlines() if "P[R, H]" in n)
    artifact = compiled(source.replace(line, "  weight P[R, H]  blocks(2, 16, 0.3)"))
    assert str(artifact.plan.tile) == "2 x 8"
    assert error_of(artifact, "plan") < LIMIT["fp16"] and error_of(artifact, "sim") < LIMIT["fp16"]


def test_tiles_are_taller_where_a_block_has_rows_for_all_its_warps() -> None:
    source = source_of("elman_tanh", "blocks(8, 1, 0.2)")
    few, many = (
        compiled(source, target="sm_90", batch=1, sizes={"H": h, "I": 16}, indices="fitting").plan
        for h in (1024, 4096)
    )
    assert few.tile.rows < many.tile.rows
    assert "cycles" in few.choices.indices.reason and "cycles" in many.choices.indices.reason


@pytest.mark.parametrize(("right", "wrong"), [
    ("offset ^ (turn *", "offset + (turn *"),  # the loads of a tile run into the next one
    ("/ kWidth % kTileRows;", "/ kWidth % kTileRows / 2;"),  # a lane keeps another unit of its row
    ("sum[g][r * WIDTH + c] +=", "sum[g][0 * WIDTH + c] +="),  # rows are not told apart
    ("row * COLUMNS + column", "column * ROWS + row"),  # values in another order
])  # fmt: skip
def test_a_mutant_is_noticed(right: str, wrong: str) -> None:
    artifact = compiled(source_of("elman_tanh", "blocks(4, 2, 0.4)"), "fp32", batch=4)
    assert artifact.plan.tile == Tile(4, 2, 1) and error_of(artifact, "sim") < LIMIT["fp32"]
    assert right in artifact.kernel_source
    broken = replace(artifact, kernel_source=artifact.kernel_source.replace(right, wrong))
    try:
        right_after_all = error_of(broken, "sim") < LIMIT["fp32"]
    except DeviceError:  # a unit that nobody publishes is waited for
        right_after_all = False
    assert not right_after_all
