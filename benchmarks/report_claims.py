"""Sections of the report that hold one claim each: ten times the parameters, and a step beside its floor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.floors import OVER_FLOOR
from benchmarks.report_tables import NOTHING, error_text, in_group, only_one, table, us_text
from benchmarks.results_file import Row
from benchmarks.tenfold_cases import GROUP, TIMES_THE_PARAMETERS

_NOT_MEASURED = "Not measured.\n"
_TENFOLD = """\
The largest model that a persistent algorithm of cuDNN takes in fp16, dense, and a pruned one of at least
{times} times its parameters, zeros included. The dense model's time is that of the fastest persistent
algorithm, with the batch as it is or padded.
"""


def tenfold_text(rows: Sequence[Row]) -> str:
    """The claim, its rows, and what bounds the dense models; a line where nothing was measured."""
    chosen = in_group(rows, GROUP)
    if not chosen:
        return _NOT_MEASURED
    intro = _TENFOLD.format(times=TIMES_THE_PARAMETERS)
    return "\n".join([intro, _tenfold_table(chosen), "What cuDNN takes:\n", _limits_table(chosen)])


def _tenfold_table(rows: Sequence[Row]) -> str:
    heading = (
        "cell", "B", "dense H", "µs", "algorithm", "pruned H", "density", "non-zeros", "µs", "floor",
        "error", "ratio", "asked", "reached",
    )  # fmt: skip
    return table(heading, [_tenfold_line(row) for row in rows])


def _tenfold_line(row: Row) -> list[str]:
    best, ratio, required = row["best_peer"], row["ratio"], row["required"]
    verdict = [NOTHING, f"{required:g}", f"no: {row['refusal'] or 'no dense time'}"]
    if ratio is not None:
        verdict = [f"**{ratio:.2f}**", f"{required:g}", "yes" if ratio >= required else "**no**"]
    return [
        row["cell"],
        str(row["B"]),
        str(row["dense_H"]),
        us_text(row["peers"].get(best)),
        (best or NOTHING).removesuffix(f" H={row['dense_H']}"),
        str(row["H"]),
        f"{row['density']:g}",
        f"{row['nonzeros'] / 1e6:.1f} M",
        us_text(row["us_per_step"]),
        us_text(row["floor_us"]),
        error_text(row["rel_error"]),
        *verdict,
    ]


def _limits_table(rows: Sequence[Row]) -> str:
    """Every limit once, in the order of the search."""
    limits: dict[tuple[str, ...], None] = {}
    for row in rows:
        for found in row["limits"]:
            hidden = str(found["hidden"] or "none")
            line = (row["cell"], str(found["batch"]), found["algorithm"], hidden, found["refusal"])
            limits[line] = None
    return table(("cell", "B", "algorithm", "largest H", "the next size"), limits)


def network_text(network: dict[str, Any] | None, gpu: str) -> str:
    """A trained network's steps beside the floor of their exchange, from what ``first_light`` wrote."""
    timed = [row for row in network["rows"] if "us_per_step" in row] if network else []
    if network is None or not timed:
        return _NOT_MEASURED
    only_one([{"gpu": gpu}, network], "gpu")
    heading = (
        "H", "B", "density", "type", "exchange", "µs", "low to high", "floor", "times the floor", "asked",
        "reached", "error of a step",
    )  # fmt: skip
    return f"Commit {network['commit'] or 'unknown'}.\n\n" + table(heading, map(_network_line, timed))


def _network_line(row: Row) -> list[str]:
    over = row.get("over_floor")
    verdict = [NOTHING, f"below {OVER_FLOOR:g}", "no floor measured"]
    if over is not None:
        verdict = [f"**{over:.2f}**", f"below {OVER_FLOOR:g}", "yes" if over < OVER_FLOOR else "**no**"]
    return [
        str(row["H"]),
        str(row["B"]),
        f"{row['density']:g}",
        row["dtype"],
        row["exchange"],
        us_text(row["us_per_step"]),
        f"{row['us_low']:.2f} to {row['us_high']:.2f}",
        us_text(row.get("floor_us")),
        *verdict,
        error_text(row["step_error"]),
    ]
