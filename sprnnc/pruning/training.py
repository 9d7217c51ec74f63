"""Prunes a network while it trains: masks that grow by a schedule and stay through the optimiser's steps.

Works on a module of PyTorch through what its tensors can do; torch itself is never imported. Call ``step``
after each step of the optimiser:

    pruner = GradualPruner(model, ZhuGupta(final=0.9, start=1000, prunings=50, interval=100))
    for batch in data:
        ...
        optimizer.step()
        pruner.step()
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sprnnc.importing.pytorch_names import split_name
from sprnnc.pruning.magnitude import shares
from sprnnc.pruning.schedules import Narang, ZhuGupta
from sprnnc.sparsity.patterns import Mask, Pattern, Unstructured

_RECURRENT = Unstructured(0.0)


def is_recurrent(name: str) -> bool:
    """Whether a parameter multiplies a state: ``weight_hh_l0`` and the like."""
    split = split_name(name)
    return split is not None and split.part == "weight_hh"


def q_of(parameter: Any, percentile: float = 90) -> float:
    """Narang's q: a percentile of the magnitudes of a trained dense parameter."""
    return float(np.percentile(np.abs(_array(parameter)), percentile))


class _Masks:
    """The chosen parameters of a module and their masks, applied in place."""

    def __init__(self, module: Any, choose: Callable[[str], bool]) -> None:
        self.parameters: dict[str, Any] = {n: p for n, p in module.named_parameters() if choose(n)}
        if not self.parameters:
            raise ValueError("no parameter of the module is chosen; give choose=lambda name: ...")
        self.masks: dict[str, Any] = {}
        self.now = 0

    @property
    def density(self) -> Mapping[str, float]:
        """The share of each parameter that its mask keeps."""
        return {n: float(_array(m).mean()) for n, m in self.masks.items()}

    def _set(self, name: str, mask: Mask) -> None:
        self.masks[name] = self.parameters[name].data.new_tensor(mask)  # where and as precise as the weights

    def _apply(self) -> None:
        for name, mask in self.masks.items():
            self.parameters[name].data.mul_(mask)


class GradualPruner(_Masks):
    """Each chosen parameter has ``pattern`` at the density that a ZhuGupta schedule says.

    ``pattern``: of which kind, its own density is not used. The gates of a stacked parameter [G H, H] are
    pruned one by one, so that blocks and diagonals are those of the imported cell. ``choose``: by name.
    ``together``: one threshold for all gates of all chosen parameters, so that each gets the density that its
    magnitudes earn; for ``sparse`` and ``blocks``. Raises ValueError where nothing is chosen or the pattern
    has no density or does not fit, CompileError E710 for a pattern that gates cannot share.
    """

    def __init__(
        self,
        module: Any,
        schedule: ZhuGupta,
        pattern: Pattern = _RECURRENT,
        choose: Callable[[str], bool] = is_recurrent,
        together: bool = False,
    ) -> None:
        super().__init__(module, choose)
        self.schedule, self.pattern, self.together = schedule, pattern, together
        final = pattern.at_density(1 - schedule.final)
        if final is None:
            raise ValueError(f"{pattern.describe()} has no density to choose")
        for name, parameter in self.parameters.items():
            for gate in _gates(_array(parameter)):
                if why := final.shape_error(*gate.shape):
                    raise ValueError(f"'{name}' cannot be {final.describe()}: {why}")
        if together:
            self._patterns(self._scores(), final)

    def step(self) -> None:
        """After a step of the optimiser: new masks where they are due, and the weights masked."""
        if self.schedule.is_due(self.now):
            density = 1 - self.schedule.sparsity(self.now)
            pattern = self.pattern.at_density(density)
            assert pattern is not None, "refused above"
            scores = self._scores()
            for name, own in self._patterns(scores, pattern).items():
                masks = [p.best_mask(gate) for p, gate in zip(own, scores[name], strict=True)]
                self._set(name, np.concatenate(masks))
        self._apply()
        self.now += 1

    def _scores(self) -> dict[str, list[NDArray[np.float64]]]:
        return {name: _gates(_array(parameter) ** 2) for name, parameter in self.parameters.items()}

    def _patterns(
        self, scores: Mapping[str, list[NDArray[np.float64]]], pattern: Pattern
    ) -> dict[str, list[Pattern]]:
        """What each gate of each parameter keeps."""
        if not self.together:
            return {name: [pattern] * len(gates) for name, gates in scores.items()}
        shared = shares({(n, i): g for n, gates in scores.items() for i, g in enumerate(gates)}, pattern)
        return {name: [shared[name, i] for i in range(len(gates))] for name, gates in scores.items()}


class ThresholdPruner(_Masks):
    """Each chosen parameter loses what lies below a Narang threshold; what was dropped stays dropped.

    ``schedules``: one for all, or one for each parameter by name, as each layer has its own quantile.
    """

    def __init__(
        self,
        module: Any,
        schedules: Narang | Mapping[str, Narang],
        choose: Callable[[str], bool] = is_recurrent,
        keep_diagonal: bool = False,
    ) -> None:
        super().__init__(module, choose)
        if isinstance(schedules, Narang):
            schedules = dict.fromkeys(self.parameters, schedules)
        if unknown := schedules.keys() - self.parameters.keys():
            raise ValueError(f"no such parameter is chosen: {', '.join(sorted(unknown))}")
        self.schedules = dict(schedules)
        self.keep_diagonal = keep_diagonal

    def step(self) -> None:
        """After a step of the optimiser: new masks where they are due, and the weights masked."""
        for name, schedule in self.schedules.items():
            if schedule.is_due(self.now):
                self._raise(name, schedule.threshold(self.now))
        self._apply()
        self.now += 1

    def _raise(self, name: str, threshold: float) -> None:
        size = np.abs(_array(self.parameters[name]))
        mask = size >= threshold
        if name in self.masks:
            mask &= _array(self.masks[name]) != 0
        if self.keep_diagonal:
            mask |= np.concatenate([np.eye(*gate.shape, dtype=np.bool_) for gate in _gates(size)])
        self._set(name, mask)


def _gates(stacked: NDArray[Any]) -> list[NDArray[Any]]:
    """A parameter [G H, H] gate by gate; any other shape is one matrix."""
    rows, cols = stacked.shape
    return np.split(stacked, rows // cols) if rows % cols == 0 else [stacked]


def _array(tensor: Any) -> NDArray[np.float64]:
    return np.asarray(tensor.detach().cpu().double().numpy(), np.float64)
