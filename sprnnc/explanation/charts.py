"""Charts as data: paths in a box that is stretched to the page, and the words around it.

Words are not part of the drawing, so that they stay readable on a narrow screen.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
_SHADES = 8
_BAR_SHARE = 0.82  # of the place of a bar; the rest is the gap to the next


@dataclass(frozen=True, slots=True)
class Shape:
    """A filled path; ``style`` names its colour in the page's style sheet."""

    path: str
    style: str


@dataclass(frozen=True, slots=True)
class Key:
    """An entry of a legend."""

    style: str
    text: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing in a box of ``width`` x ``height`` units, shown ``pixels`` high and as wide as the page.

    ``top`` and ``bottom`` name the ends of the vertical axis, ``ticks`` the horizontal one from left to
    right, or, where ``centred``, parts of equal width. ``spoken``: what it shows, for whoever cannot see it.
    """

    title: str
    spoken: str
    width: float
    height: float
    pixels: int
    shapes: tuple[Shape, ...]
    legend: tuple[Key, ...] = ()
    top: str = ""
    bottom: str = ""
    ticks: tuple[str, ...] = ()
    centred: bool = False


def rectangle(x: float, y: float, width: float, height: float) -> str:
    """The path of a rectangle; ``y`` counts downwards."""
    return f"M{x:.5g} {y:.5g}h{width:.5g}v{height:.5g}h{-width:.5g}z"


def heat_cells(values: FloatArray) -> tuple[Shape, ...]:
    """Cells [rows, columns] of one unit each, in shades from nothing to the largest value."""
    most = values.max(initial=0)
    if not most:
        return ()
    shade = np.ceil(values / most * _SHADES).astype(int)
    shapes = []
    for level in range(1, _SHADES + 1):
        path = "".join(rectangle(x, y, 1, 1) for y, x in zip(*np.nonzero(shade == level), strict=True))
        if path:
            shapes.append(Shape(path, f"heat{level}"))
    return tuple(shapes)


def stacked_columns(layers: Sequence[tuple[str, FloatArray]], height: float) -> tuple[Shape, ...]:
    """Upright bars, one unit apart: each layer, a style and its values, stands on the one before it."""
    shapes, base = [], np.zeros(len(layers[0][1]))
    gap = (1 - _BAR_SHARE) / 2
    for style, values in layers:
        bars = (
            rectangle(i + gap, height - low - value, _BAR_SHARE, value)
            for i, (low, value) in enumerate(zip(base, values, strict=True))
            if value > 0
        )
        shapes.append(Shape("".join(bars), style))
        base = base + values
    return tuple(s for s in shapes if s.path)


def stacked_bar(parts: Iterable[tuple[str, float]], height: float) -> tuple[Shape, ...]:
    """One lying bar of parts, each a style and a length."""
    shapes, x = [], 0.0
    for style, length in parts:
        if length > 0:
            shapes.append(Shape(rectangle(x, 0, length, height), style))
        x += length
    return tuple(shapes)
