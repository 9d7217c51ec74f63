"""Training: a dense trunk that all networks of one size share, then a branch for each of them.

Every branch takes the same number of steps from the same trunk, so that a pruned network has seen as much
text as the dense one beside it. The first half of a branch keeps the trunk's learning rate, and
there the masks grow; in the second half the rate falls to a twentieth.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from examples.charlm.corpus import Symbols
from examples.charlm.network import CharLM, tf32
from sprnnc.pruning import GradualPruner, ZhuGupta, pattern_from_text

_REPORT_SECONDS = 10
_LAST_RATE = 0.05


@dataclass(frozen=True, slots=True)
class Recipe:
    """``batch`` columns of ``length`` characters a step; ``prunings``: how often a branch's masks grow."""

    batch: int
    length: int
    rate: float = 2e-3
    warmup: int = 100
    clip: float = 1.0
    prunings: int = 24
    trunk_share: float = 0.4

    def trunk_steps(self, steps: int) -> int:
        return max(1, round(self.trunk_share * steps))


@dataclass(slots=True, eq=False)
class Learner:
    """A network on its way, the steps it has ``taken``, and its state at the end of the last one."""

    network: CharLM
    optimizer: torch.optim.Adam
    taken: int = 0
    state: tuple[torch.Tensor, torch.Tensor] | None = None

    @classmethod
    def new(cls, hidden: int, dropout: float, recipe: Recipe, device: str, seed: int) -> Learner:
        torch.manual_seed(seed)
        network = CharLM(hidden, dropout).to(device)
        return cls(network, _adam(network, recipe))

    def branch(self, recipe: Recipe) -> Learner:
        """A copy that goes its own way."""
        network = copy.deepcopy(self.network)
        network.lstm.flatten_parameters()
        optimizer = _adam(network, recipe)
        optimizer.load_state_dict(copy.deepcopy(self.optimizer.state_dict()))
        return Learner(network, optimizer, self.taken, self.state)


def _adam(network: CharLM, recipe: Recipe) -> torch.optim.Adam:
    on_gpu = network.output.weight.is_cuda
    return torch.optim.Adam(network.parameters(), recipe.rate, betas=(0.9, 0.99), fused=on_gpu)


class Text:
    """The training text as columns, on the device: step k reads their next ``length`` characters.

    Where the columns end they begin again, moved by a prime number of characters, so that each round cuts the
    text at other places.
    """

    _SHIFT = 104_729

    def __init__(self, symbols: Symbols, recipe: Recipe, device: str) -> None:
        self._symbols = torch.from_numpy(symbols.astype(np.int64)).to(device)
        self._recipe = recipe
        self.steps_a_round = (len(symbols) // recipe.batch - 1) // recipe.length
        if self.steps_a_round < 1:
            raise SystemExit(f"{len(symbols)} characters are too few for {recipe.batch} columns")
        self._round, self._columns = -1, self._symbols

    def at(self, step: int) -> tuple[torch.Tensor, torch.Tensor, bool]:
        """Symbols [length, B], those that follow them, and whether the columns begin here."""
        number, place = divmod(step, self.steps_a_round)
        if number != self._round:
            batch = self._recipe.batch
            rolled = torch.roll(self._symbols, -(number * self._SHIFT) % len(self._symbols))
            self._columns = rolled[: len(rolled) // batch * batch].view(batch, -1).t().contiguous()
            self._round = number
        first, length = place * self._recipe.length, self._recipe.length
        window = self._columns[first : first + length + 1]
        return window[:-1], window[1:], place == 0


class Stopped(Exception):
    """The time was up after ``taken`` steps of those that were to be taken."""

    def __init__(self, taken: int) -> None:
        super().__init__(f"stopped after {taken} steps")
        self.taken = taken


def train(
    learner: Learner,
    text: Text,
    recipe: Recipe,
    steps: int,
    *,
    falling: bool,
    density: float | None = None,
    deadline: float = math.inf,
    report: Callable[[str], None] = print,
) -> float:
    """``steps`` more steps; returns the mean bits per character of the last reports' span.

    ``falling``: the second half lets the rate fall. ``density``: recurrent matrices are pruned to it in
    the first half, all gates with one threshold (Zhu, Gupta 2017). Raises Stopped at ``deadline``
    (time.monotonic()).
    """
    network = learner.network
    pruner = None
    if density is not None:
        pruner = GradualPruner(
            network,
            schedule_of(steps, density, recipe),
            pattern_from_text(f"sparse({density})"),
            together=True,
        )
    seen, since, bits = torch.zeros((), device=network.output.weight.device), 0, math.nan
    told = began = time.monotonic()
    network.train()
    with tf32(True):
        for step in range(steps):
            for group in learner.optimizer.param_groups:
                group["lr"] = rate_at(recipe, learner.taken, step / steps if falling else 0.0)
            seen += _one_step(learner, text, recipe)
            since += 1
            if pruner:
                pruner.step()
            now = time.monotonic()
            if now - told > _REPORT_SECONDS or step == steps - 1:
                bits, since, told = float(seen) / since / math.log(2), 0, now
                seen.zero_()
                report(f"  step {step + 1} of {steps}, {bits:.3f} bits a character, {now - began:.0f} s")
            if now > deadline:
                raise Stopped(step + 1)
    if not math.isfinite(bits):
        raise SystemExit("training diverged: the loss is not finite")
    return bits


def dropout_of(dropout: float, nonzeros: int, parameters: int) -> float:
    """What is left of the dropout of a dense network of ``parameters`` for one of fewer ``nonzeros``.

    S. Han et al., "Learning both weights and connections for efficient neural networks" (2015), section 3.2:
    it shrinks with the root of what can be learned by heart.
    """
    return dropout * math.sqrt(nonzeros / parameters)


def schedule_of(steps: int, density: float, recipe: Recipe) -> ZhuGupta:
    """Masks grow through the first half of a branch."""
    half = max(1, steps // 2)
    prunings = min(recipe.prunings, half)
    return ZhuGupta(final=1 - density, start=0, prunings=prunings, interval=max(1, (half - 1) // prunings))


def rate_at(recipe: Recipe, taken: int, done: float) -> float:
    """The learning rate after ``taken`` steps, when a share ``done`` of the branch is over."""
    falls = min(1.0, 2 * (1 - done)) if done > 0.5 else 1.0
    return recipe.rate * min(1.0, (taken + 1) / recipe.warmup) * max(falls, _LAST_RATE)


def _one_step(learner: Learner, text: Text, recipe: Recipe) -> torch.Tensor:
    """Its loss in nats, left on the device."""
    symbols, following, begins = text.at(learner.taken)
    if begins or learner.state is None:
        learner.state = None
    logits, state = learner.network(symbols, learner.state)
    loss = nn.functional.cross_entropy(logits.flatten(0, 1), following.flatten())
    learner.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(learner.network.parameters(), recipe.clip)
    learner.optimizer.step()
    learner.state = (state[0].detach(), state[1].detach())
    learner.taken += 1
    return loss.detach()


def seconds_a_step(learner: Learner, text: Text, recipe: Recipe, steps: int) -> float:
    """Measured on a copy, after some steps that warm up."""
    trial = learner.branch(recipe)
    for _ in range(max(2, steps // 2)):
        float(_one_step(trial, text, recipe))
    began = time.monotonic()
    with tf32(True):
        for _ in range(steps):
            loss = _one_step(trial, text, recipe)
        float(loss)
    return (time.monotonic() - began) / steps


def seconds_a_pruning(learner: Learner, recipe: Recipe) -> float:
    """Measured on a copy: ranking happens on the processor."""
    trial = learner.branch(recipe)
    pruner = GradualPruner(
        trial.network, ZhuGupta(0.5, 0, 1), pattern_from_text("sparse(0.5)"), together=True
    )
    began = time.monotonic()
    pruner.step()
    return time.monotonic() - began
