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
from sprnnc.schedule.network_parts import find_groups

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


@st.composite
def stacks(draw: st.DrawFn, most_layers: int = 4) -> str:
    """A whole file of recurrent layers that follow each other, with connections that skip some."""
    texts = {name: t for name, t in cell_texts().items() if name != "Dense"}
    size = st.sampled_from([3, 8, 8])
    streams, lines, used = {"x": draw(size)}, [], set()
    for number in range(draw(st.integers(2, most_layers))):
        operand, width = draw(_operands_after(streams))
        cell = draw(st.sampled_from(sorted(texts)))
        used.add(cell)
        sizes = {s: draw(size) for s in texts[cell][1]} | {"I": width}
        given = ", ".join(f"{s}={n}" for s, n in sizes.items())
        lines.append(f"  layer l{number} = {cell}({given}) on {operand}")
        streams[f"l{number}"] = sizes.get("R", sizes["H"])
    last = f"l{number}"
    output = " + ".join([last, *draw(_alike(streams, last))])
    cells = "".join(texts[cell][0] for cell in sorted(used))
    return f"{cells}\nmodel drawn {{\n  input x[{streams['x']}]\n" + "\n".join(
        [*lines, f"  output {output}", "}\n"]
    )


@st.composite
def _operands_after(draw: st.DrawFn, streams: dict[str, int]) -> tuple[str, int]:
    """The last stream, to which others may be added, or beside which one may stand."""
    last = list(streams)[-1]
    total = " + ".join([last, *draw(_alike(streams, last))])
    beside = draw(st.sampled_from([None, None, *streams]))
    if beside is None:
        return total, streams[last]
    return f"[{total}, {beside}]", streams[last] + streams[beside]


def _alike(streams: dict[str, int], name: str) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(sorted(s for s, n in streams.items() if n == streams[name])), max_size=2)


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
    text = draw(st.one_of(models(most_layers), stacks(most_layers)), label="model")
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
    if find_groups(network):
        schedule["kernels"] = draw(st.sampled_from(["each", "in_turn", "wavefront"]), label="kernels")
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
