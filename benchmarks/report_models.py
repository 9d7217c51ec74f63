"""The section of the report on whole models: beside PyTorch, each way to make kernels, and streaming."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.model_cases import GROUP
from benchmarks.report_tables import NOTHING, error_text, in_group, table
from benchmarks.results_file import Row

_INTRO = """\
Microseconds of a whole call, or of one step of a model that runs step by step, each as a captured CUDA graph
where that can be; {density:.0%} of every matrix is left. The peers are torch.nn with cuDNN, called (with
packed sequences where lengths differ) and captured (every column of the greatest length), and a captured
graph of a GEMM and a fused elementwise kernel of PyTorch a step.
"""
_WAYS = """\
One kernel a layer, each over all steps, beside a wavefront over layers and steps; `chosen` is what the plan
took.
"""
_STREAM = """\
A step at a time, batch 1, the states on the GPU: a call from Python, a step of a captured graph, and its
kernels alone.
"""


def models_text(rows: Sequence[Row]) -> str:
    """Tables of what was measured; a line where nothing was."""
    chosen = in_group(rows, GROUP)
    models = [r for r in chosen if "us" in r]
    if not models:
        return "Not measured.\n"
    parts = [_INTRO.format(density=models[0]["density"]), table(_HEADING, map(_line, models))]
    ways = [r for r in models if len(r["ways_us"]) > 1]
    if ways:
        heading = ("model", "chosen", "each", "wavefront", "each / wavefront")
        parts += [_WAYS, table(heading, map(_way_line, ways))]
    streamed = [(r, name, us) for r in chosen if "stream" in r for name, us in r["stream"].items()]
    if streamed:
        heading = ("layer", "input products", "call", "graph", "kernels")
        parts += [_STREAM, table(heading, [_stream_line(*s) for s in streamed])]
    return "\n".join(parts)


_HEADING = (
    "model",
    "layers",
    "H",
    "B",
    "T",
    "\u00b5s",
    "best peer",
    "\u00b5s",
    "ratio",
    "asked",
    "reached",
    "error",
)


def _line(row: Row) -> list[str]:
    best, ratio = row["best_peer"], row["ratio"]
    verdict = [NOTHING, f"{row['required']:g}", "no peer ran"]
    if ratio is not None:
        verdict = [
            f"**{ratio:.2f}**",
            f"{row['required']:g}",
            "yes" if ratio >= row["required"] else "**no**",
        ]
    ways = " in both directions" if row["bidirectional"] else ""
    steps = str(row["T"]) if not row["lengths"] else f"{min(row['lengths'])} to {max(row['lengths'])}"
    return [
        row["name"].removeprefix("model-"),
        f"{row['layers']} {row['cell'].upper()}{ways}",
        str(row["H"]),
        str(row["B"]),
        steps,
        f"{row['us']:.2f}",
        best or NOTHING,
        f"{row['peers'][best]:.2f}" if best else NOTHING,
        *verdict,
        error_text(row["rel_error"]),
    ]


def _way_line(row: Row) -> list[str]:
    us = row["ways_us"]
    each = f"{us['each'] / us['wavefront']:.2f}"
    return [
        row["name"].removeprefix("model-"),
        *(f"{us[n]:.1f}" for n in ("chosen", "each", "wavefront")),
        each,
    ]


def _stream_line(row: Row, name: str, us: dict[str, float]) -> list[str]:
    times = [f"{us[f'{n}_us']:.2f}" for n in ("call", "graph", "kernels")]
    return [f"{row['cell'].upper()} {row['H']}, density {row['density']:g}", name, *times]
