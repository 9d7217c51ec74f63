"""What the equations of several libraries share, in float64."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sprnnc.importing.layer import Float64, States

Step = Callable[[Float64, dict[str, Float64]], dict[str, Float64]]


def over_time(step: Step, x: Float64, state: States, reverse: bool) -> Float64:
    """h after every step, [T, B, R]. ``step``: from x [B, I] and the old states to the new ones."""
    times = range(len(x))
    now, h = dict(state), {}
    for t in reversed(times) if reverse else times:
        now = step(x[t], now)
        h[t] = now["h"]
    return np.stack([h[t] for t in times])


def sigmoid(x: Float64) -> Float64:
    """1 / (1 + exp(-x)), without overflow."""
    return 0.5 * (1 + np.tanh(0.5 * x))
