"""Whole layers: which matrices, ranked how, and the densest that stays on a device."""

from __future__ import annotations

import numpy as np
import pytest

import sprnnc
from sprnnc.diagnostics import CompileError
from sprnnc.pruning import Rank, Request, make_layer, prune_layers, prune_to_device
from sprnnc.pruning.capacity import densest, most_nonzeros, streamed_slots
from sprnnc.sparsity.patterns import Balanced, BlockDiagonal, Blocks, NOfM, Unstructured, WithDiagonal
from sprnnc.target import find_target

SIM = find_target("sim")


def nonzeros(layer, *names: str) -> int:
    return sum(int(np.count_nonzero(layer.tensors[n])) for n in names)


def test_only_what_multiplies_states_is_pruned_unless_named(make_gru) -> None:
    layer = make_gru()
    (pruned,) = prune_layers([layer], Request(Unstructured(0.1)))
    for name in ("Wz", "Wr", "Wn", "bun"):
        np.testing.assert_array_equal(pruned.tensors[name], layer.tensors[name])
    assert nonzeros(pruned, "Uz", "Ur", "Un") == round(0.1 * 3 * 32 * 32)
    (named,) = prune_layers([layer], Request(Unstructured(0.25), only=("W*", "Ur")))
    assert nonzeros(named, "Wz", "Wr", "Wn") + nonzeros(named, "Ur") == round(0.25 * (3 * 32 * 4 + 32 * 32))
    np.testing.assert_array_equal(named.tensors["Un"], layer.tensors["Un"])


def test_each_rank_has_its_own_thresholds(make_gru) -> None:
    layers = [make_gru(), make_gru(seed=1)]
    layers[1].tensors["Un"][...] *= 4
    gate = prune_layers(layers, Request(Unstructured(0.1), Rank.GATE))
    layer = prune_layers(layers, Request(Unstructured(0.1), Rank.LAYER))
    every = prune_layers(layers, Request(Unstructured(0.1), Rank.ALL))
    each = round(0.1 * 32 * 32)
    assert [nonzeros(p, n) for p in gate for n in ("Uz", "Ur", "Un")] == [each] * 6
    assert [nonzeros(p, "Uz", "Ur", "Un") for p in layer] == [round(0.3 * 32 * 32)] * 2
    assert nonzeros(layer[0], "Un") > 2 * nonzeros(layer[0], "Ur")
    assert sum(nonzeros(p, "Uz", "Ur", "Un") for p in every) == round(0.6 * 32 * 32)
    assert nonzeros(every[1], "Un") > nonzeros(layer[1], "Un")


@pytest.mark.parametrize(
    ("pattern", "rank"),
    [
        (Unstructured(0.2), Rank.LAYER),
        (WithDiagonal(Unstructured(0.1)), Rank.LAYER),
        (Blocks(4, 4, 0.25), Rank.LAYER),
        (WithDiagonal(Blocks(4, 4, 0.25)), Rank.GATE),
        (Balanced(0.25, 4), Rank.GATE),
        (NOfM(2, 8), Rank.GATE),
        (BlockDiagonal(4), Rank.GATE),
    ],
    ids=lambda value: value.describe() if not isinstance(value, Rank) else value.value,
)
@pytest.mark.parametrize("device", ["reference", "plan", "sim"])
def test_a_pruned_layer_compiles_as_declared_and_runs(make_gru, pattern, rank: Rank, device: str) -> None:
    (pruned,) = prune_layers([make_gru()], Request(pattern, rank))
    artifact = sprnnc.compile(pruned.text, weights=pruned.tensors, target="sim")
    x = np.random.default_rng(0).standard_normal((4, 1, 4)).astype(np.float32)
    result = sprnnc.execute(artifact, x, device=device, check=True)
    assert result.error is not None and result.error < 1e-5


def test_a_name_that_is_not_there_lists_the_matrices(make_gru) -> None:
    with pytest.raises(CompileError, match="matrices are Wz, Wr, Wn, Uz, Ur, Un"):
        prune_layers([make_gru()], Request(Unstructured(0.1), only=("V*",)))


def test_a_layer_that_fits_is_as_dense_as_asked(make_gru) -> None:
    (pruned,) = prune_to_device([make_gru()], Request(Unstructured(0.5)), SIM)
    assert nonzeros(pruned, "Uz", "Ur", "Un") == round(0.5 * 3 * 32 * 32)


@pytest.mark.parametrize(
    ("pattern", "rank"),
    [(Unstructured(1.0), Rank.LAYER), (Blocks(4, 4, 1.0), Rank.GATE), (NOfM(16, 16), Rank.GATE)],
)
def test_a_layer_that_does_not_fit_is_pruned_until_nothing_is_streamed(make_gru, pattern, rank: Rank) -> None:
    layer = make_gru(256)
    assert streamed_slots(layer.model, layer.tensors, 1, SIM) > 0
    request = Request(pattern, rank)
    (pruned,) = prune_to_device([layer], request, SIM)
    assert streamed_slots(pruned.model, pruned.tensors, 1, SIM) == 0
    artifact = sprnnc.compile(pruned.text, weights=pruned.tensors, target="sim")
    assert sum(p.streamed_slots for p in artifact.plan.phases) == 0
    density = nonzeros(pruned, "Uz", "Ur", "Un") / (3 * 256 * 256)
    more = pattern.at_density(density * 1.05 if not isinstance(pattern, NOfM) else density + 1 / 16)
    (denser,) = prune_layers([layer], Request(more, rank))
    assert streamed_slots(denser.model, denser.tensors, 1, SIM) > 0
    assert nonzeros(pruned, "Uz", "Ur", "Un") <= most_nonzeros(pruned.model, 1, SIM)


def test_densest_is_near_the_edge_and_below_it() -> None:
    for edge in (0.9, 0.31, 0.004):
        assert edge / 1.03 <= densest(lambda d, edge=edge: d <= edge, 1.0) <= edge
    assert densest(lambda d: True, 0.7) == 0.7
    with pytest.raises(CompileError, match="E712"):
        densest(lambda d: False, 1.0)


def test_patterns_without_density_and_batches_that_cannot_be_are_refused(make_gru) -> None:
    with pytest.raises(CompileError, match="has no density to choose"):
        prune_to_device([make_gru()], Request(BlockDiagonal(4), Rank.GATE), SIM)
    with pytest.raises(CompileError, match="E405"):
        prune_to_device([make_gru()], Request(Unstructured(0.1)), SIM, batch=0)


def test_weights_that_do_not_fit_the_cell_are_refused(make_gru) -> None:
    layer = make_gru()
    with pytest.raises(CompileError, match="E303"):
        make_layer(layer.text, {n: t for n, t in layer.tensors.items() if n != "Un"})
