"""Schedules are the papers' formulas, and the callbacks keep their masks through training."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from sprnnc.diagnostics import CompileError
from sprnnc.pruning import GradualPruner, Narang, ThresholdPruner, ZhuGupta, q_of
from sprnnc.pruning.training import is_recurrent
from sprnnc.sparsity.patterns import Balanced, BlockDiagonal, Blocks, Unstructured, WithDiagonal


class Tensor:
    """As much of a torch.Tensor as is asked for, on a NumPy array that it shares."""

    def __init__(self, values: Any) -> None:
        self.values = np.asarray(values, np.float32)

    def detach(self) -> Tensor:
        return self

    cpu = double = detach

    def numpy(self) -> Any:
        return self.values

    @property
    def data(self) -> Tensor:
        return self

    def new_tensor(self, values: Any) -> Tensor:
        return Tensor(values)

    def mul_(self, other: Tensor) -> None:
        self.values *= other.values


class Module:
    """A module with an LSTM's parameters."""

    def __init__(self, hidden: int = 16) -> None:
        rng = np.random.default_rng(0)
        self.parameters = {
            "rnn.weight_ih_l0": Tensor(rng.standard_normal((4 * hidden, 3))),
            "rnn.weight_hh_l0": Tensor(rng.standard_normal((4 * hidden, hidden))),
        }
        self.u = self.parameters["rnn.weight_hh_l0"].values

    def named_parameters(self) -> Any:
        return self.parameters.items()


def test_zhu_gupta_is_the_formula() -> None:
    schedule = ZhuGupta(final=0.9, start=100, prunings=10, interval=20, initial=0.1)
    assert schedule.sparsity(0) == schedule.sparsity(100) == pytest.approx(0.1)
    assert schedule.sparsity(300) == schedule.sparsity(10**6) == pytest.approx(0.9)
    assert schedule.sparsity(160) == pytest.approx(0.9 + (0.1 - 0.9) * (1 - 60 / 200) ** 3)
    due = [t for t in range(1000) if schedule.is_due(t)]
    assert due == list(range(100, 301, 20))


def test_narang_is_the_formula() -> None:
    s = Narang(quantile=0.5, start=100, ramp=300, end=700, frequency=100)
    theta = 2 * 0.5 * 100 / (2 * 200 + 3 * 400)
    assert s.theta == pytest.approx(theta)
    assert s.threshold(99) == 0
    assert s.threshold(100) == pytest.approx(theta / 100)
    assert s.threshold(300) == pytest.approx(theta * 201 / 100)
    assert s.threshold(500) == pytest.approx((theta * 201 + 1.5 * theta * 201) / 100)
    assert s.threshold(900) == s.threshold(700) == pytest.approx(0.5, rel=0.01)  # q, as the paper intends
    assert [t for t in range(1000) if s.is_due(t)] == [100, 200, 300, 400, 500, 600, 700]


@pytest.mark.parametrize(
    "make",
    [
        lambda: ZhuGupta(1.5, 0, 1),
        lambda: ZhuGupta(0.5, -1, 1),
        lambda: ZhuGupta(0.5, 0, 0),
        lambda: Narang(0.5, 10, 10, 20),
        lambda: Narang(0.5, 10, 15, 20, 0),
        lambda: Narang(float("nan"), 10, 15, 20),
        lambda: GradualPruner(Module(), ZhuGupta(0.5, 0, 1), choose=lambda name: False),
        lambda: GradualPruner(Module(), ZhuGupta(0.5, 0, 1), BlockDiagonal(4)),
        lambda: GradualPruner(Module(), ZhuGupta(0.5, 0, 1), Blocks(5, 5, 0.1)),
        lambda: ThresholdPruner(Module(), {"nothing": Narang(0.5, 10, 15, 20)}),
    ],
)
def test_what_cannot_be_is_refused(make: Any) -> None:
    with pytest.raises(ValueError):
        make()


@pytest.mark.parametrize(
    "pattern",
    [Unstructured(0.0), Blocks(4, 4, 0.0), WithDiagonal(Unstructured(0.0))],
    ids=lambda p: p.describe(),
)
def test_gradual_pruning_ends_at_the_pattern_and_stays_there(pattern: Any) -> None:
    module, rng = Module(), np.random.default_rng(1)
    before = module.parameters["rnn.weight_ih_l0"].values.copy()
    pruner = GradualPruner(module, ZhuGupta(final=0.75, start=2, prunings=4), pattern)
    densities = []
    for _ in range(12):
        module.u += rng.standard_normal(module.u.shape).astype(np.float32) * 0.01  # an optimiser's step
        pruner.step()
        densities.append(np.count_nonzero(module.u) / module.u.size)
    assert densities[0] == 1 and densities == sorted(densities, reverse=True)
    for gate in np.split(module.u, 4):
        assert pattern.at_density(0.25).violation(gate != 0) is None
    assert pruner.density["rnn.weight_hh_l0"] == pytest.approx(densities[-1])
    np.testing.assert_array_equal(module.parameters["rnn.weight_ih_l0"].values, before)


def test_gates_pruned_together_share_one_threshold() -> None:
    module = Module()
    module.u[:16] *= 4  # a gate with larger weights
    before = np.abs(module.u)
    pruner = GradualPruner(module, ZhuGupta(final=0.75, start=0, prunings=1), together=True)
    pruner.step()
    pruner.step()
    kept = module.u != 0
    assert kept.mean() == pytest.approx(0.25)
    assert before[kept].min() > before[~kept].max()
    assert kept[:16].mean() > 2 * kept[16:].mean()


def test_gates_cannot_share_a_pattern_with_equal_counts() -> None:
    with pytest.raises(CompileError, match="E710"):
        GradualPruner(Module(), ZhuGupta(0.5, 0, 1), Balanced(0.5, 4), together=True)


def test_threshold_pruning_drops_below_the_threshold_for_good() -> None:
    module = Module()
    q = q_of(module.parameters["rnn.weight_hh_l0"])
    before = module.u.copy()
    schedule = Narang(q, start=1, ramp=4, end=9, frequency=1)
    pruner = ThresholdPruner(module, schedule, keep_diagonal=True)
    for _ in range(12):
        pruner.step()
    diagonal = np.concatenate([np.eye(16, dtype=bool)] * 4)
    np.testing.assert_array_equal(module.u != 0, (np.abs(before) >= schedule.threshold(9)) | diagonal)
    module.u += 5
    pruner.step()
    assert np.count_nonzero(module.u) / module.u.size < 0.2


def test_recurrent_parameters_are_known_by_name() -> None:
    assert is_recurrent("encoder.weight_hh_l0_reverse") and is_recurrent("weight_hh")
    assert not is_recurrent("encoder.weight_ih_l0") and not is_recurrent("fc.weight")


def test_torch_is_not_imported() -> None:
    code = "import sys, sprnnc.pruning; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_torch_modules_train_pruned() -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    module = torch.nn.GRU(4, 16, bidirectional=True)
    optimizer = torch.optim.Adam(module.parameters(), 0.01)
    pruner = GradualPruner(module, ZhuGupta(final=0.9, start=0, prunings=5), Blocks(4, 4, 0.0))
    for _ in range(8):
        optimizer.zero_grad()
        module(torch.randn(5, 2, 4))[0].square().mean().backward()
        optimizer.step()
        pruner.step()
    for parameter in (module.weight_hh_l0, module.weight_hh_l0_reverse):
        for gate in parameter.detach().split(16):
            assert Blocks(4, 4, 0.1).violation(gate.numpy() != 0) is None
    assert torch.count_nonzero(module.weight_ih_l0) == module.weight_ih_l0.numel()
