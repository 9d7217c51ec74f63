"""Partition, placement, layout and packing keep every non-zero, exactly once, where they say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sprnnc.cell.ir import DType
from sprnnc.cell.storage import to_storage
from sprnnc.language.check import check
from sprnnc.language.parse import parse
from sprnnc.layout import layout as stage
from sprnnc.layout.options import BankOrder, LayoutOptions
from sprnnc.layout.packing import pack_dense, unpack_dense
from sprnnc.layout.partition import NOBODY, partition, verify
from sprnnc.layout.tile import ONE_VALUE, Tile
from sprnnc.passes.phases import split_into_phases
from sprnnc.passes.recurrence import Recurrence

TEXT = """
cell C(H, R) {
  input  x[H]
  state  h[R], c[H]
  weight U[H, R], V[H, R], P[R, H]
  c' = tanh(U @ h) + (V @ h) * x
  h' = P @ c'
  output h'
}
model m { layer main = C(H=1, R=1) }
"""
sizes = st.integers(1, 60)
tiles = st.sampled_from(
    [ONE_VALUE, Tile(4, 1, 1), Tile(1, 4, 1), Tile(2, 2, 2), Tile(2, 8, 2), Tile(4, 4, 4)]
)


def recurrence(h: int, r: int) -> Recurrence:
    return split_into_phases(check(parse(TEXT), source=TEXT, sizes={"H": h, "R": r}).cell)


def matrices(h: int, r: int, density: float, seed: int, tile: Tile = ONE_VALUE) -> dict[str, np.ndarray]:
    """Whole tiles are zero, or none of their values is."""
    rng = np.random.default_rng(seed)
    whole = np.ones((tile.rows, tile.columns), bool)

    def drawn(rows: int, columns: int) -> np.ndarray:
        kept = rng.random((rows // tile.rows, columns // tile.columns)) < density
        return np.where(np.kron(kept, whole), rng.standard_normal((rows, columns)), 0).astype(np.float32)

    return {"U": drawn(h, r), "V": drawn(h, r), "P": drawn(r, h)}


def options(warps: int = 2, order: BankOrder = BankOrder.COLOURED, **more: object) -> LayoutOptions:
    values: dict[str, object] = {
        "warps": warps,
        "together": 16,
        "width": 4,
        "groups": 1,
        "bank_order": order,
        "even_banks": True,
        "lanes_per_row": None,
        "register_slots": 40,
        "shared_bytes": 1 << 17,
        "slot_words": 1,
        "slot_instructions": 5.0,
        "unpack_instructions": 0,
    }
    return LayoutOptions(**(values | more))  # type: ignore[arg-type]


def lay_out(
    h: int, r: int, density: float, blocks: int, chosen: LayoutOptions
) -> tuple[Recurrence, dict[str, np.ndarray], stage.Layout]:
    """``h`` and ``r`` count the longer sides of tiles."""
    tile = chosen.tile
    side = max(tile.rows, tile.columns)
    cell, weights = recurrence(h * side, r * side), matrices(h * side, r * side, density, h + 100 * r, tile)
    counts = {n: np.count_nonzero(w, axis=1) for n, w in weights.items()}
    parts = partition(cell, counts, blocks, tile)
    verify(parts)
    layout = stage.lay_out(cell, weights, parts, chosen)
    stage.verify(layout)
    stage.verify_tiles(layout, cell)
    verify(layout.partition)
    return cell, weights, layout


@given(
    h=sizes,
    r=sizes,
    density=st.sampled_from([0.0, 0.1, 1.0]),
    blocks=st.integers(1, 9),
    warps=st.integers(1, 4),
    order=st.sampled_from(list(BankOrder)),
    lanes=st.sampled_from([None, 4, 8, 16, 32]),
    tile=tiles,
)
def test_the_layout_multiplies_like_the_matrices(
    h: int, r: int, density: float, blocks: int, warps: int, order: BankOrder, lanes: int | None, tile: Tile
) -> None:
    chosen = options(warps, order, lanes_per_row=lanes, tile=tile, together=16 // tile.run)
    cell, weights, layout = lay_out(h, r, density, blocks, chosen)
    for phase, laid_out in zip(cell.phases, layout.phases, strict=True):
        operand = np.random.default_rng(1).standard_normal(laid_out.columns + 16)
        operand[laid_out.columns :] = 0
        start = laid_out.position // tile.columns * tile.columns
        columns = operand[start[..., None] + np.arange(tile.columns)]
        products = (laid_out.value.astype(np.float64) * columns[..., None, :]).sum(axis=5)
        column = layout.partition.spaces[phase.published[0].space.name].position
        got = {p.name: np.full(p.rows.size, np.nan) for p in phase.products}
        first = 0
        for rank in laid_out.ranks:
            product = phase.products[rank.product]
            space = layout.placements[product.rows.name]
            lanes_of = products[:, :, first : first + rank.slots].sum(axis=2)
            by_row = lanes_of.reshape(*lanes_of.shape[:2], -1, space.lanes_per_row, tile.rows)
            unit = space.unit[:, rank.item, : rank.warps]
            rows = by_row.sum(axis=3)[:, : rank.warps].reshape(unit.shape)
            got[product.name][unit[unit != NOBODY]] = rows[unit != NOBODY]
            first += rank.slots
        for product in phase.products:
            expected = weights[product.weight].astype(np.float64) @ operand[column]
            np.testing.assert_allclose(got[product.name], expected, atol=1e-6)


@given(h=sizes, r=sizes, blocks=st.integers(1, 9), warps=st.integers(1, 4))
def test_every_unit_has_one_place_and_positions_stay_in_their_block(
    h: int, r: int, blocks: int, warps: int
) -> None:
    cell, weights, layout = lay_out(h, r, 0.3, blocks, options(warps))
    counts = {n: np.count_nonzero(w, axis=1) for n, w in weights.items()}
    before = partition(cell, counts, blocks)
    for name, space in layout.placements.items():
        units = np.sort(space.unit[space.unit != NOBODY])
        np.testing.assert_array_equal(units, np.arange(len(units)))
        for block, owned in enumerate(before.spaces[name].unit):
            mine = owned[owned != NOBODY]
            old, new = (p.spaces[name].position[mine] for p in (before, layout.partition))
            np.testing.assert_array_equal(np.sort(old), np.sort(new))
            np.testing.assert_array_equal(
                np.sort(space.unit[block][space.unit[block] != NOBODY]), np.sort(mine)
            )


@pytest.mark.parametrize("order", [BankOrder.FOLDED, BankOrder.COLOURED, BankOrder.PLAIN])
@pytest.mark.parametrize("loads", [1, 2, 8])
def test_lanes_that_begin_a_tile_anywhere_meet_as_seldom_as_with_values(loads: int, order: BankOrder) -> None:
    """Tiles begin at multiples of their columns; in plain order they meet in as few of the banks."""
    tile = Tile(1, loads, 1)
    chosen = options(4, order, tile=tile, lanes_per_row=16, together=16)
    _, _, layout = lay_out(32, 128, 0.6, 4, chosen)
    phase = layout.phases[0]
    full = (phase.position < phase.columns).reshape(-1, 16).all(axis=1)
    groups = phase.position.reshape(-1, 16)[full]
    assert len(groups) > 10
    banks = [max(np.bincount(g % 16)) for g in groups]
    turned = [max(np.bincount((g ^ (loads - 1)) % 16)) for g in groups]
    assert banks == turned
    if order is BankOrder.PLAIN:
        assert np.mean(banks) >= loads
    else:
        assert np.mean(banks) < 1.6


@pytest.mark.parametrize("together", [8, 16, 32])
def test_lanes_that_load_together_meet_no_bank_twice(together: int) -> None:
    _, _, layout = lay_out(60, 60, 0.5, 3, options(together=together, width=32 // together))
    for phase in layout.phases:
        banks = phase.position.reshape(-1, together) % together
        assert all(len(set(b)) == together for b in banks.tolist())


def test_folded_loads_need_fewer_slots_and_no_more_wavefronts_than_coloured_ones() -> None:
    slots, wavefronts = {}, {}
    for order in (BankOrder.FOLDED, BankOrder.COLOURED):
        _, _, layout = lay_out(512, 512, 0.1, 16, options(8, order, lanes_per_row=16))
        used = sum(int(p.used.sum()) for p in layout.phases)
        kept = sum(p.position[..., 0].size for p in layout.phases)
        loads = np.concatenate([p.position.reshape(-1, 16) for p in layout.phases])
        busiest = sum(int(np.bincount(np.unique(load) % 16).max()) for load in loads)
        slots[order], wavefronts[order] = used, busiest - 2 * (kept - used)  # those after the last are free
    assert slots[BankOrder.FOLDED] < 0.8 * slots[BankOrder.COLOURED]
    assert wavefronts[BankOrder.FOLDED] < 1.01 * wavefronts[BankOrder.COLOURED]


def test_moving_units_takes_fewer_slots_and_padding_comes_last() -> None:
    slots = {}
    for even in (False, True):
        _, _, layout = lay_out(512, 512, 0.1, 16, options(8, lanes_per_row=16, even_banks=even))
        slots[even] = sum(int(p.used.sum()) for p in layout.phases)
        for phase in layout.phases:
            assert phase.used.max() <= max(r.slots for r in phase.ranks)
            assert phase.used[:, :, 0].min() < phase.ranks[0].slots  # warps differ
    assert slots[True] < 0.95 * slots[False]


def test_greedy_order_meets_fewer_conflicts_than_column_order() -> None:
    excess = {}
    for order in (BankOrder.GREEDY, BankOrder.PLAIN):
        _, _, layout = lay_out(256, 256, 0.3, 4, options(4, order, lanes_per_row=32))
        phase = layout.phases[0]
        banks = np.sort(phase.position.reshape(-1, 16) % 16, axis=1)
        excess[order] = int((banks[:, 1:] == banks[:, :-1]).sum())
    assert excess[BankOrder.GREEDY] < 0.6 * excess[BankOrder.PLAIN]


def test_units_are_shared_out_evenly_and_by_weight() -> None:
    _, _, layout = lay_out(60, 30, 0.3, 7, options())
    for space in layout.partition.spaces.values():
        counts = (space.unit != NOBODY).sum(axis=1)
        assert counts.max() == -(-len(space.position) // 7)


def test_alike_rows_lie_in_runs_and_unlike_ones_are_dealt() -> None:
    cell = recurrence(64, 64)
    alike = {n: np.full(64, 10) for n in "UVP"}
    runs = partition(cell, alike, 4).spaces["H"]
    np.testing.assert_array_equal(runs.block, np.arange(64) // 16)
    heavy_first = {n: np.arange(64, 0, -1) ** 2 for n in "UVP"}
    dealt = partition(cell, heavy_first, 4).spaces["H"]
    loads = np.bincount(dealt.block, weights=heavy_first["U"], minlength=4)
    assert loads.max() < 1.02 * loads.min()


def test_ten_gates_of_a_unit_share_its_lanes() -> None:
    """What a unit needs is added up where its state is: one place for all products of its space."""
    cell, _, layout = lay_out(40, 33, 0.4, 3, options())
    phase, space = layout.phases[0], layout.placements["H"]
    assert [p.rows.name for p in cell.phases[0].products] == ["H", "H"]
    assert [(r.product, r.item) for r in phase.ranks] == [(p, i) for p in (0, 1) for i in range(space.items)]


@given(rows=sizes, cols=sizes, dtype=st.sampled_from(list(DType)))
def test_dense_packing_round_trips(rows: int, cols: int, dtype: DType) -> None:
    matrix = np.random.default_rng(0).standard_normal((rows, cols)).astype(np.float32)
    unpacked = unpack_dense(pack_dense(matrix, dtype), dtype, cols)
    np.testing.assert_array_equal(unpacked, to_storage(matrix, dtype).astype(np.float32))


@given(
    size=st.integers(1, 90),
    devices=st.integers(1, 8),
    blocks=st.integers(1, 9),
    together=st.sampled_from([1, 4]),
    seed=st.integers(0, 9),
)
def test_units_are_dealt_to_devices_and_then_to_their_blocks(
    size: int, devices: int, blocks: int, together: int, seed: int
) -> None:
    tile = Tile(together, 1, 1)
    cell = recurrence(size * together, size * together)
    rows = np.random.default_rng(seed).geometric(0.1, size * together)  # some are much longer than others
    parts = partition(cell, dict.fromkeys("UVP", rows), blocks, tile, devices)
    verify(parts)
    assert (parts.devices, parts.blocks) == (devices, devices * blocks)
    for space in parts.spaces.values():
        by_block = np.bincount(space.block, minlength=devices * blocks).reshape(devices, blocks)
        share = -(-size // devices)
        assert by_block.sum(axis=1).max() == share * together
        assert by_block.max() == -(-share // blocks) * together
        device = space.block // blocks
        assert np.all(np.diff(device[np.argsort(space.position)]) >= 0)  # a device's part is one run
