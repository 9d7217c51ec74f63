"""The oracle of whole models: every layer by ``run_reference``, streams joined in float64."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sprnnc.cell.network import Concat, Joined, Network, Stream, Sum
from sprnnc.cell.reference import run_reference

Float64 = NDArray[np.float64]


def run_network_reference(
    network: Network,
    weights: Mapping[str, Mapping[str, ArrayLike]],
    x: ArrayLike,
    state: Mapping[str, ArrayLike] | None = None,
    lengths: ArrayLike | None = None,
    resets: ArrayLike | None = None,
) -> tuple[Float64, dict[str, Float64]]:
    """Runs all layers over T steps of a batch of B sequences.

    ``weights``: the tensors of every layer that has its own, by its name, and of every embedding its
    ``table``. ``x`` is [T, B, I]. ``state`` maps
    ``layer.state`` to [B, size], at the first step or, for a reversed layer, at the last; a missing one is
    zero. ``lengths`` [B]: a reversed layer begins with each column's own last step, and past its length a
    column's y is zero. ``resets`` [T, B]: where it is not zero, all states of a column are zero before that
    step, for networks without a reversed layer. Returns y [T, B, O] and the final states, new arrays,
    float64.
    """
    ends = None if lengths is None else np.asarray(lengths)
    given = state or {}
    streams: dict[str, Float64] = {network.input.name: np.array(x, np.float64)}
    for e in network.embeddings:
        table = np.asarray(weights[e.name]["table"], np.float64)
        streams[e.name] = look_up(table, streams[network.input.name])
    after: dict[str, Float64] = {}
    for layer in network.layers:
        names = {s.name: f"{layer.name}.{s.name}" for s in layer.cell.states}
        own = {name: given[full] for name, full in names.items() if full in given}
        operand = join(layer.operand, streams)
        operand = turned(operand, ends) if layer.reverse else operand
        y, last = run_reference(layer.cell, weights[layer.weights], operand, own, ends, resets)
        streams[layer.name] = turned(y, ends) if layer.reverse else y
        after |= {names[name]: value for name, value in last.items()}
    return np.ascontiguousarray(until_ends(join(network.output, streams), ends)), after


def turned(stream: NDArray[Any], lengths: NDArray[Any] | None) -> NDArray[Any]:
    """``stream`` [T, B, size] from each column's last step to its first, and zero past its length."""
    if lengths is None:
        return stream[::-1]
    at = lengths[None, :] - 1 - np.arange(len(stream))[:, None]
    return until_ends(np.take_along_axis(stream, np.maximum(at, 0)[:, :, None], axis=0), lengths)


def until_ends(stream: NDArray[Any], lengths: NDArray[Any] | None) -> NDArray[Any]:
    """``stream`` [T, B, size], zero past each column's length."""
    if lengths is None:
        return stream
    running = np.arange(len(stream))[:, None] < lengths[None, :]
    return np.where(running[:, :, None], stream, np.zeros((), stream.dtype))


def look_up(table: NDArray[Any], numbers: NDArray[Any]) -> NDArray[Any]:
    """Rows [T, B, size] of ``table`` by ``numbers`` [T, B, 1]; NaN for what is no row's number."""
    chosen = numbers[:, :, 0]
    known = (chosen >= 0) & (chosen < len(table))
    rows = table[np.where(known, chosen, 0).astype(np.int64)]
    return np.where(known[:, :, None], rows, np.array(np.nan, table.dtype))


def join(joined: Joined, streams: Mapping[str, Float64]) -> Float64:
    """The joined stream, of those by name."""
    match joined:
        case Stream(name=name):
            return streams[name]
        case Concat(parts=parts):
            return np.concatenate([join(part, streams) for part in parts], axis=2)
        case Sum(terms=terms):
            total = join(terms[0], streams)
            with np.errstate(all="ignore"):  # Inf - Inf is NaN
                for term in terms[1:]:
                    total = total + join(term, streams)
            return total
