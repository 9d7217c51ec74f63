"""Draws networks: any cells and sizes, joined in any way that the language has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from drawn import LIMIT, draw_tensors, source_of
from hypothesis import strategies as st

import sprnnc
from sprnnc.cell.network_weights import network_shapes
from sprnnc.language.check import check_program
from sprnnc.language.parse import parse

DENSE = """\
cell Dense(I, H) {
  input  x[I]
  weight W[H, I]  as_stored
  bias   b[H]
  y = W @ x + b
  output y
}
"""
CELLS = ["elman_tanh", "gru_reset_before", "gru_reset_after", "lstm", "lstm_projection", "peephole_lstm"]


@dataclass(frozen=True)
class Drawn:
    """A compiled network, an input of some columns, states to begin with, for some of its states, and lengths
    or None. Past the lengths the input is NaN."""

    artifact: sprnnc.NetworkArtifact
    x: np.ndarray
    state: dict[str, np.ndarray]
    lengths: list[int] | None


def cell_texts() -> dict[str, tuple[str, str]]:
    """Text and symbols of sizes, by the cell's name."""
    texts = [source_of(name).split("\nmodel ")[0] + "\n" for name in CELLS] + [DENSE]
    found = {}
    for text in texts:
        (cell,) = parse(text).cells
        found[cell.name.text] = (text, [s.text for s in cell.sizes])
    return found


@st.composite
def models(draw: st.DrawFn, most_layers: int) -> str:
    """A whole file. Sizes are few, so that streams often fit each other."""
    texts = cell_texts()
    size = st.sampled_from([1, 3, 8, 13])
    streams = {"x": draw(size)}
    layers: list[tuple[str, str, dict[str, int], str]] = []
    lines, unread = [], {"x"}
    for number in range(draw(st.integers(1, most_layers))):
        operand, width = draw(_operands(streams))
        fitting = [i for i in layers if i[2]["I"] == width]
        words = ""
        if fitting and draw(st.booleans()):
            other, cell, sizes, _ = draw(st.sampled_from(fitting))
            words = f" shares {other}"
        else:
            cell = draw(st.sampled_from(sorted(texts)))
            sizes = {s: draw(size) for s in texts[cell][1]} | {"I": width}
        words += " reverse" if draw(st.booleans()) else ""
        name = f"l{number}"
        given = ", ".join(f"{s}={n}" for s, n in sizes.items())
        lines.append(f"  layer {name} = {cell}({given}){words} on {operand}")
        layers.append((name, cell, sizes, operand))
        unread = (unread | {name}) - {s for s in streams if s in _words(operand)}
        streams[name] = sizes.get("R", sizes["H"])
    output = ", ".join(sorted(unread - {"x"})) or name
    last = f"output {output}" if "," not in output and draw(st.booleans()) else f"output [{output}, {name}]"
    used = {i[1] for i in layers}
    cells = "".join(texts[cell][0] for cell in sorted(used))
    return f"{cells}\nmodel drawn {{\n  input x[{streams['x']}]\n" + "\n".join([*lines, f"  {last}", "}\n"])


def _words(operand: str) -> set[str]:
    return set(operand.replace("[", " ").replace("]", " ").replace(",", " ").split())


@st.composite
def _operands(draw: st.DrawFn, streams: dict[str, int]) -> tuple[str, int]:
    """What a layer reads, and how wide it is."""
    parts = []
    for _ in range(draw(st.integers(1, 2))):
        first = draw(st.sampled_from(sorted(streams)[-3:]))
        same = sorted(s for s, size in streams.items() if size == streams[first])
        terms = [first, *draw(st.lists(st.sampled_from(same), max_size=2))]
        parts.append((" + ".join(terms), streams[first]))
    if len(parts) == 1:
        return parts[0]
    return f"[{', '.join(p for p, _ in parts)}]", sum(width for _, width in parts)


@st.composite
def networks(draw: st.DrawFn, most_layers: int = 4, **fixed: Any) -> Drawn:
    """A compiled network; ``fixed`` pins ``dtype`` or ``target``, which is ``sim`` otherwise."""
    text = draw(models(most_layers), label="model")
    seed = draw(st.integers(0, 2**16), label="seed")
    batch = draw(st.integers(1, 4), label="batch")
    dtype = fixed.get("dtype") or draw(st.sampled_from(sorted(LIMIT)), label="dtype")
    network = check_program(parse(text), source=text)
    weights = draw_tensors(network_shapes(network), draw(st.sampled_from([0.2, 1.0])), seed)
    schedule = {
        "exchange": draw(st.sampled_from(["lamport", "barrier"]), label="exchange"),
        "fetch": "threads",
        "threads": 32,
        "blocks": draw(st.integers(1, 2), label="blocks"),
        "steps_per_launch": draw(st.sampled_from([3, 64]), label="steps a launch"),
    }
    artifact = sprnnc.compile(
        text, weights=weights, batch=batch, target=fixed.get("target", "sim"), dtype=dtype, schedule=schedule
    )
    rng = np.random.default_rng(seed)
    steps = draw(st.integers(1, 9), label="steps")
    columns = draw(st.integers(1, batch), label="columns")
    x = rng.standard_normal((steps, columns, artifact.manifest.input_size)).astype(np.float32)
    ends = st.lists(st.integers(0, steps), min_size=columns, max_size=columns)
    lengths = draw(st.none() | ends, label="lengths")
    for column, end in enumerate(lengths or ()):
        x[end:, column] = np.nan
    given = [v for v in artifact.manifest.states if rng.random() < 0.5]
    state = {v.name: rng.standard_normal((columns, v.size)).astype(np.float32) for v in given}
    return Drawn(artifact, x, state, lengths)
