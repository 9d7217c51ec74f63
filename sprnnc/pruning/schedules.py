"""How sparse a network should be at which step of its training: pure functions of the step."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ZhuGupta:
    """M. Zhu, S. Gupta, "To prune, or not to prune" (2017), equation 1: the sparsity

        s(t) = s_f + (s_i - s_f) (1 - (t - t0) / (n dt))^3    for t in t0, t0 + dt, ..., t0 + n dt

    rises fast while there is much to drop, then slower. ``final`` and ``initial``: sparsities from 0 to 1;
    ``start`` is t0, ``prunings`` is n, ``interval`` is dt, in steps of the optimiser. Raises ValueError for
    values outside.
    """

    final: float
    start: int
    prunings: int
    interval: int = 1
    initial: float = 0.0

    def __post_init__(self) -> None:
        if not (0 <= self.initial <= 1 and 0 <= self.final <= 1):
            raise ValueError(f"sparsities are from 0 to 1, got {self.initial} to {self.final}")
        if self.start < 0 or self.prunings < 1 or self.interval < 1:
            raise ValueError("start is at least 0, prunings and interval at least 1")

    def sparsity(self, step: int) -> float:
        """The share of zeros at ``step``: ``initial`` before the start, ``final`` after the end."""
        done = (step - self.start) / (self.prunings * self.interval)
        rest = 1 - min(max(done, 0.0), 1.0)
        return self.final + (self.initial - self.final) * rest**3

    def is_due(self, step: int) -> bool:
        """Whether masks change at ``step``."""
        done = step - self.start
        return 0 <= done <= self.prunings * self.interval and done % self.interval == 0


@dataclass(frozen=True, slots=True)
class Narang:
    """S. Narang et al., "Exploring sparsity in recurrent neural networks", ICLR (2017), algorithm 1 and
    equation 1: every ``frequency`` steps, weights below a threshold become zero. It rises with slope theta
    from ``start`` to ``ramp``, then with slope phi = 1.5 theta to ``end``:

        theta = 2 q f / (2 (ramp - start) + 3 (end - ramp))
        eps(i) = theta (i - start + 1) / f                                       start <= i <= ramp
        eps(i) = (theta (ramp - start + 1) + phi (i - ramp + 1)) / f             ramp < i <= end

    ``quantile`` is q, the 90th percentile of a trained dense layer's magnitudes (``q_of``). Raises
    ValueError where start < ramp < end is not so.
    """

    quantile: float
    start: int
    ramp: int
    end: int
    frequency: int = 100

    def __post_init__(self) -> None:
        if not (0 <= self.start < self.ramp < self.end) or self.frequency < 1:
            raise ValueError("0 <= start < ramp < end, and a frequency of at least 1 step, are needed")
        if not self.quantile >= 0:
            raise ValueError(f"the quantile of magnitudes is {self.quantile}, expected 0 or more")

    @property
    def theta(self) -> float:
        """The first slope, a threshold for each ``frequency`` steps."""
        rises = 2 * (self.ramp - self.start) + 3 * (self.end - self.ramp)
        return 2 * self.quantile * self.frequency / rises

    def threshold(self, step: int) -> float:
        """Magnitudes below it are dropped; 0 before the start, and as at the end after it."""
        if step < self.start:
            return 0.0
        step = min(step, self.end)
        if step <= self.ramp:
            return self.theta * (step - self.start + 1) / self.frequency
        first = self.theta * (self.ramp - self.start + 1)
        return (first + 1.5 * self.theta * (step - self.ramp + 1)) / self.frequency

    def is_due(self, step: int) -> bool:
        """Whether masks change at ``step``."""
        return self.start <= step <= self.end and (step - self.start) % self.frequency == 0
