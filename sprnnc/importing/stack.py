"""Runs imported layers as the model they came from does: depth after depth, directions side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sprnnc.diagnostics import fail
from sprnnc.importing.layer import ImportedLayer

Array = NDArray[Any]


def run_stack(
    layers: Sequence[ImportedLayer],
    x: Array,
    run: Callable[[ImportedLayer, Array], Array],
    lengths: Sequence[int] | None = None,
) -> Array:
    """y [T, B, sum of R over directions] of one stack, for ``x`` [T, B, I]; neither is changed.

    ``run(layer, x)`` gives the layer's own y [T, B, R], on whatever device: a reversed layer is given its
    input already turned around, and its output is turned back here. ``lengths``: steps of each column, 0 to T
    (default: those that the model stores, else T): outputs past them are zero and a reversed layer begins at
    each column's own end, as in ONNX and with PyTorch's packed sequences. Raises CompileError E709 for
    layers of several stacks or lengths that do not fit.
    """
    stacks = list(dict.fromkeys(layer.stack for layer in layers))
    if len(stacks) != 1:
        help = f"there are {', '.join(stacks) or 'none'}: choose with [l for l in layers if l.stack == ...]"
        raise fail("E709", f"run_stack runs the layers of one stack, got {len(stacks)}", help=help)
    ends = _lengths(lengths, layers, x)
    for depth in sorted({layer.depth for layer in layers}):
        ways = [_one_way(layer, x, ends, run) for layer in layers if layer.depth == depth]
        x = np.concatenate(ways, axis=2)
    return x


def _lengths(given: Sequence[int] | None, layers: Sequence[ImportedLayer], x: Array) -> NDArray[np.int64]:
    steps, batch = x.shape[:2]
    chosen = given if given is not None else layers[0].lengths or [steps] * batch
    lengths = np.asarray(chosen)
    whole = lengths.shape == (batch,) and lengths.dtype.kind in "iu"
    if not whole or lengths.min(initial=0) < 0 or lengths.max(initial=0) > steps:
        message = f"lengths are {lengths.tolist()!r:.80}, expected {batch} whole numbers from 0 to {steps}"
        raise fail("E709", message)
    return lengths.astype(np.int64)


def _one_way(
    layer: ImportedLayer, x: Array, lengths: NDArray[np.int64], run: Callable[[ImportedLayer, Array], Array]
) -> Array:
    y = run(layer, turned(x, lengths)) if layer.reverse else run(layer, x)
    y = np.where((np.arange(len(x))[:, None] < lengths)[:, :, None], y, 0)
    return turned(y, lengths) if layer.reverse else y


def turned(x: Array, lengths: NDArray[np.int64]) -> Array:
    """Each column of [T, B, N] backwards within its own length; what lies past it stays where it is."""
    times = np.arange(len(x))[:, None]
    source = np.where(times < lengths, lengths - 1 - times, times)
    return np.take_along_axis(x, source[:, :, None], axis=0)
