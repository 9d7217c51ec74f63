"""The tables of the report, in Markdown."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.cases import Group, Rung, all_cases
from benchmarks.results_file import Row
from benchmarks.rows import FP32_ERROR, REFUSED

# Our fp16 error may be this many times cuDNN's own.
ERROR_MARGIN = 1.5
NOTHING = "–"


def only_one(rows: Iterable[Row], key: str) -> str:
    """The value that all rows share. Ends the program where they differ."""
    values = {row[key] for row in rows}
    if len(values) != 1:
        raise SystemExit(f"the rows name several values of '{key}': {', '.join(sorted(map(str, values)))}")
    return str(values.pop())


def table(heading: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rule = ["---"] * len(heading)
    return "".join(f"| {' | '.join(line)} |\n" for line in [heading, rule, *lines])


def acceptance_table(rows: Sequence[Row]) -> str:
    """One line for every ratio that is asked for, measured or not, and whether it is reached."""
    by_name = {row["name"]: row for row in rows}
    heading = (
        "cell", "H", "B", "density", "type", "µs", "low to high", "floor", "best peer", "µs",
        "ratio", "asked", "reached", "error", "limit", "within",
    )  # fmt: skip
    lines = []
    for case in all_cases():
        if case.required is None:
            continue
        row = by_name.get(case.name)
        if row is None:
            shape = [case.kind.value, str(case.hidden), str(case.batch), f"{case.density:g}", case.dtype]
            empty = [NOTHING] * 6
            lines.append([*shape, *empty, f"{case.required:g}", "not measured", *[NOTHING] * 3])
        else:
            lines.append([*_shape(row), *_times(row), *_ratio(row), *_verdict(row)])
    return table(heading, lines)


def _shape(row: Row) -> list[str]:
    return [row["cell"], str(row["H"]), str(row["B"]), f"{row['density']:g}", row["dtype"]]


def _times(row: Row) -> list[str]:
    low, high = row["us_low"], row["us_high"]
    spread = NOTHING if low is None else f"{low:.2f} to {high:.2f}"
    best = row["peers"].get(row["best_peer"])
    return [
        us_text(row["us_per_step"]),
        spread,
        us_text(row["floor_us"]),
        row["best_peer"] or NOTHING,
        us_text(best),
    ]


def _ratio(row: Row) -> list[str]:
    ratio, required = row["ratio"], row["required"]
    if ratio is None:
        return [NOTHING, f"{required:g}", f"no: {row['refusal'] or 'no peer'}"]
    return [f"**{ratio:.2f}**", f"{required:g}", "yes" if ratio >= required else "**no**"]


def _verdict(row: Row) -> list[str]:
    """Our error, its limit and whether it keeps it."""
    error, limit = row["rel_error"], error_limit(row)
    if error is None or limit is None:
        return [error_text(error), error_text(limit), NOTHING]
    return [error_text(error), error_text(limit), "yes" if error <= limit else "**no**"]


def error_limit(row: Row) -> float | None:
    """1e-5 for fp32; for fp16 a multiple of the smallest error of cuDNN's fp16, None without one."""
    if row["dtype"] == "fp32":
        return FP32_ERROR
    errors = [e for name, e in row["peer_errors"].items() if name.startswith("cudnn ") and " fp16" in name]
    return ERROR_MARGIN * min(errors) if errors else None


def ablation_table(rows: Sequence[Row]) -> str:
    """Microseconds a step of every rung of the ladder, a line for each point."""
    lines = []
    for shape, rungs in ablation_points(rows):
        lines.append([*shape, *(us_text(rungs.get(rung.value)) for rung in Rung)])
    return table(["cell", "H", "B", "density", "type", *(f"{r.value}, µs" for r in Rung)], lines)


def ablation_points(rows: Sequence[Row]) -> list[tuple[tuple[str, ...], dict[str, float | None]]]:
    """For every point of the ablation its shape and microseconds by rung."""
    points: dict[tuple[str, ...], dict[str, float | None]] = defaultdict(dict)
    for row in in_group(rows, Group.ABLATION.value):
        points[tuple(_shape(row))][row["rung"]] = row["us_per_step"]
    return list(points.items())


def in_group(rows: Iterable[Row], group: str) -> list[Row]:
    return [row for row in rows if group in row["groups"]]


def sweep_table(rows: Sequence[Row], group: str) -> str:
    """The rows of one plot, in the order of what varies."""
    chosen = sorted(in_group(rows, group), key=lambda r: (r["cell"], r["H"], r["B"], r["density"]))
    return table(_SHORT, [_short(row) for row in chosen])


def layer_table(rows: Sequence[Row]) -> str:
    return table(_SHORT, [_short(row) for row in in_group(rows, Group.LAYER.value)])


def flashrnn_table(rows: Sequence[Row]) -> str:
    """The rows that FlashRNN was tried on: its time or its refusal beside ours."""
    heading = ("cell", "H", "B", "density", "type", "µs", "FlashRNN", "µs", "ratio", "best peer", "µs")
    return table(heading, [_flashrnn_line(row) for row in in_group(rows, Group.FLASHRNN.value)])


def _flashrnn_line(row: Row) -> list[str]:
    ours, best = row["us_per_step"], row["best_peer"]
    name = next((n for n in row["peers"] if n.startswith("flashrnn")), None)
    answer = row["peers"].get(name)
    words, ratio = str(answer or NOTHING), NOTHING
    if isinstance(answer, float):
        words = us_text(answer)
        ratio = f"**{answer / ours:.2f}**" if ours else NOTHING
    others = [best or NOTHING, us_text(row["peers"].get(best))]
    return [*_shape(row), us_text(ours), name or NOTHING, words, ratio, *others]


_SHORT = ("cell", "H", "B", "density", "type", "µs", "best peer", "µs", "ratio")


def _short(row: Row) -> list[str]:
    ours, _, _, best, best_us = _times(row)
    ratio = NOTHING if row["ratio"] is None else f"**{row['ratio']:.2f}**"
    return [*_shape(row), ours, best, best_us, ratio]


def every_case(rows: Sequence[Row]) -> str:
    """Everything measured, folded: each case's decisions, and its peers from the fastest on."""
    return "\n".join(_case(row) for row in rows)


def _case(row: Row) -> str:
    ours = f"{row['us_per_step']:.3f} µs" if row["us_per_step"] is not None else row["refusal"]
    decisions = ", ".join(f"{name} {value}" for name, value in row["plan"].items())
    lines = [f"<details><summary>{row['name']}: {ours}</summary>\n", f"Decisions: {decisions or 'none'}.\n"]
    if row["peers"]:
        lines.append(_peer_table(row))
    refusals = _refusals(row)
    if refusals:
        lines.append(refusals)
    return "\n".join([*lines, "</details>\n"])


def _peer_table(row: Row) -> str:
    measured = [(us, name) for name, us in row["peers"].items() if not isinstance(us, str)]
    lines = []
    for us, name in sorted(measured):
        low, high = row["peer_ranges"][name]
        lines.append(
            [name, us_text(us), f"{low:.2f} to {high:.2f}", error_text(row["peer_errors"].get(name))]
        )
    return table(("peer", "µs", "low to high", "error"), lines)


def _refusals(row: Row) -> str:
    """Refused peers by their reason, a reason a line."""
    by_reason: dict[str, list[str]] = defaultdict(list)
    for name, answer in row["peers"].items():
        if isinstance(answer, str):
            by_reason[answer.removeprefix(REFUSED)].append(name)
    return "".join(f"- refused, {reason}: {', '.join(names)}\n" for reason, names in by_reason.items())


def us_text(value: Any) -> str:
    """Microseconds; a refusal or nothing is a dash."""
    return f"{value:.2f}" if isinstance(value, float | int) else NOTHING


def error_text(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.1e}"
