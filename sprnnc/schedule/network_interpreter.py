"""Runs a NetworkPlan step by step in NumPy, as the runtime does on a device."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sprnnc.cell.network_reference import look_up, turned, until_ends
from sprnnc.schedule.network_plan import Join, Lookup, NetworkPlan, flat

Array = NDArray[Any]
RunPart = Callable[[str, Array, dict[str, Array]], tuple[Array, dict[str, Array]]]


def run_network_plan(
    plan: NetworkPlan,
    run_part: RunPart,
    tables: Mapping[str, Array],
    x: Array,
    state: Mapping[str, Array],
    lengths: NDArray[np.int32] | None = None,
) -> tuple[Array, dict[str, Array]]:
    """y float32 [T, B, O] and the final states, for ``x`` float32 [T, B, I] and states by ``layer.state``.

    ``tables``: float32, by embedding. ``run_part(part, x, state)``: y and final states of one kernel, whose
    states have their own names. ``lengths`` [B]: of the columns; ``run_part`` knows of them too.
    """
    steps, batch = x.shape[:2]
    # What nobody wrote is NaN, as the simulator's fresh memory is poisoned.
    streams = {b.name: np.full((steps, batch, b.size), np.nan, np.float32) for b in plan.buffers}
    streams[plan.input] = np.asarray(x, np.float32)
    after: dict[str, Array] = {}
    for step in flat(plan.steps):
        if isinstance(step, Join):
            _join(step, streams, lengths)
            continue
        if isinstance(step, Lookup):
            streams[step.to] = look_up(tables[step.to], streams[step.source])
            continue
        own = {name: state[full] for name, full in step.states if full in state}
        streams[step.to], ends = run_part(step.part, streams[step.source], own)
        after |= {full: ends[name] for name, full in step.states}
    return streams[plan.output], after


def _join(step: Join, streams: Mapping[str, Array], lengths: NDArray[np.int32] | None) -> None:
    source = streams[step.source]
    source = turned(source, lengths) if step.turn else until_ends(source, lengths)
    to = streams[step.to][:, :, step.first : step.first + source.shape[2]]
    with np.errstate(all="ignore"):  # Inf - Inf is NaN
        to[...] = to + source if step.add else source
