"""Comparison -> HTML: one page that needs no other file, through a template that decides nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sprnnc.codegen.render import environment
from sprnnc.comparison.compare import Comparison
from sprnnc.comparison.text import costs, densities, described, device, differences, speed_notes
from sprnnc.explanation.charts import Chart, FloatArray, Key, heat_cells, stacked_bar, stacked_columns
from sprnnc.explanation.page import Fact, Table
from sprnnc.version import VERSION

_CELLS = 48  # of a side of the map of outputs
_MOST_COLUMNS = 128
_COLUMN_PIXELS = 160
_STYLES = ("slate", "blue")  # of A and B


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and what stands under it."""

    title: str
    charts: tuple[Chart, ...]
    tables: tuple[Table, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """Everything that the template prints."""

    title: str
    versions: tuple[str, ...]
    facts: tuple[Fact, ...]
    sections: tuple[Section, ...]
    footer: str


def comparison_html(c: Comparison) -> str:
    """The page, complete in itself."""
    return environment(autoescape=True).get_template("compare.html.j2").render(page=make_page(c))


def make_page(c: Comparison) -> Page:
    """Every word and every shape of the page."""
    versions = tuple(f"{letter}: {side.version.name}, {described(side)}" for letter, side in c.sides)
    numbers = (False, True, True, True)
    return Page(
        title=f"{c.a.version.name} and {c.b.version.name}",
        versions=(*versions, f"Input: {c.data}. Device: {device(c)}."),
        facts=_facts(c),
        sections=(
            Section(
                "Outputs",
                (_outputs(c), _by_step(c)),
                (Table(("B against A", ""), tuple(differences(c)), (False, False)),),
            ),
            Section(
                "Cost",
                _time_lines(c),
                (Table(("", "A", "B", "B / A"), tuple(costs(c)), numbers),),
                tuple(f"{note[0].upper()}{note[1:]}." for note in speed_notes(c)),
            ),
            Section(
                "Density by matrix",
                (_densities(c),),
                (Table(("matrix", "A", "B"), tuple(densities(c)), numbers[:3]),),
            ),
        ),
        footer=f"sprnnc {VERSION}",
    )


def _facts(c: Comparison) -> tuple[Fact, ...]:
    d = c.difference
    found = [Fact(f"{d.relative:.2g}", "relative error of B against A")]
    if d.correlation is not None:
        found.append(Fact(f"{d.correlation:.4f}", "correlation of outputs"))
    if d.same_largest is not None:
        found.append(Fact(f"{d.same_largest:.1%}", "same largest output"))
    if c.a.nonzeros:
        found.append(Fact(f"{c.b.nonzeros / c.a.nonzeros:.1%}", "of A's non-zeros"))
    if c.a.measured and c.b.measured:
        found.append(Fact(f"{c.a.measured / c.b.measured:.2f} ×", "as fast as A, measured"))
    elif c.a.prediction and c.b.prediction:
        found.append(Fact(f"{c.a.prediction.total / c.b.prediction.total:.2f} ×", "as fast as A, predicted"))
    return tuple(found)


def _outputs(c: Comparison) -> Chart:
    """How often a value of A meets one of B: on the rising diagonal where they agree."""
    a, b = c.a.output.ravel(), c.b.output.ravel()
    both = np.isfinite(a) & np.isfinite(b)
    a, b = a[both].astype(np.float64), b[both].astype(np.float64)
    low, high = min(a.min(initial=0), b.min(initial=0)), max(a.max(initial=0), b.max(initial=0))
    high = high if high > low else low + 1
    counts, _, _ = np.histogram2d(b, a, bins=_CELLS, range=((low, high), (low, high)))
    words = "on the rising diagonal, both are the same"
    return Chart(
        title="Outputs of A (across) and of B (upwards), shaded by the logarithm of how many there are",
        spoken=words,
        width=_CELLS,
        height=_CELLS,
        pixels=320,
        shapes=heat_cells(np.log1p(counts[::-1])),
        legend=(Key("heat1", "one"), Key("heat8", f"{int(counts.max())}"), Key("", words)),
        top=f"{high:.3g}",
        bottom=f"{low:.3g}",
        ticks=(f"{low:.3g}", f"{high:.3g}"),
    )


def _by_step(c: Comparison) -> Chart:
    """The error over time: it says whether a difference dies away or builds up."""
    steps = c.difference.by_step
    parts = np.array_split(steps, min(len(steps), _MOST_COLUMNS))
    shown: FloatArray = np.array([np.sqrt((part**2).mean()) for part in parts])
    most = float(shown.max()) or 1.0
    words = f"from {shown[0]:.2g} at the first step to {shown[-1]:.2g} at the last"
    return Chart(
        title="Root mean square of B - A by step",
        spoken=words,
        width=len(shown),
        height=most,
        pixels=_COLUMN_PIXELS,
        shapes=stacked_columns(((_STYLES[1], shown),), most),
        legend=(Key(_STYLES[1], words),),
        top=f"{most:.2g}",
        bottom="0",
        ticks=("step 0", f"step {len(steps) - 1}"),
    )


def _time_lines(c: Comparison) -> tuple[Chart, ...]:
    """A bar of the parts of a step for each version, on one scale."""
    known = [(letter, s.prediction) for letter, s in c.sides if s.prediction]
    width = max((p.total for _, p in known), default=0.0)
    return tuple(
        Chart(
            title=f"Microseconds of one step of {letter}, predicted",
            spoken=", ".join(f"{name} {value:.3f}" for name, value in p.parts),
            width=width,
            height=1,
            pixels=28,
            shapes=stacked_bar(p.parts, 1),
            legend=tuple(Key(name, f"{name} {value:.3f}") for name, value in p.parts),
            ticks=("0", f"{width:.2f} µs"),
        )
        for letter, p in known
    )


def _densities(c: Comparison) -> Chart:
    """Two bars a matrix, in the middle of four places."""
    names = list(dict.fromkeys([*c.a.densities, *c.b.densities]))
    layers = []
    for at, (style, side) in enumerate(zip(_STYLES, (c.a, c.b), strict=True)):
        bars = np.zeros(4 * len(names))
        bars[1 + at :: 4] = [side.densities.get(name, 0.0) for name in names]
        layers.append((style, bars))
    return Chart(
        title="Share of each matrix that is not zero",
        spoken="; ".join(" ".join(row) for row in densities(c)),
        width=4 * len(names),
        height=1,
        pixels=_COLUMN_PIXELS,
        shapes=stacked_columns(layers, 1),
        legend=tuple(Key(style, letter) for style, letter in zip(_STYLES, "AB", strict=True)),
        top="1",
        bottom="0",
        ticks=tuple(names),
        centred=True,
    )
