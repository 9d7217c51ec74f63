"""The results of a run as tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_DENSE, _EQUAL = "dense", "dense-equal"


def trained(results: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The networks for which there was time."""
    return {name: m for name, m in results["models"].items() if "bits_per_character" in m}


def label(name: str, model: Mapping[str, Any]) -> str:
    """What a reader calls a network."""
    if name == _DENSE:
        return f"dense, H={model['hidden']}"
    if name == _EQUAL:
        return f"dense, H={model['hidden']}, as many non-zeros"
    return f"pruned to {model['density']:.0%}, H={model['hidden']}"


def best_time(model: Mapping[str, Any], batch: int, dtype: str) -> tuple[float, str] | None:
    """The fastest microseconds a step, and whose: ours of a pruned network, cuDNN's of a dense one.

    An fp32 row also meets TF32, which stores fp32.
    """
    dtypes = (dtype, "tf32") if dtype == "fp32" else (dtype,)
    rows = [
        (
            row["median_us"],
            " ".join(filter(None, (row["system"], row.get("algorithm", "").removeprefix("cudnn ")))),
        )
        for row in model.get("times", [])
        if row["batch"] == batch and row["dtype"] in dtypes and "median_us" in row
    ]
    return min(rows, default=None)


def markdown(results: Mapping[str, Any], images: Sequence[str]) -> str:
    """The whole page; ``images``: files beside it."""
    lines = [
        "# charlm, measured",
        "",
        "Written by `python -m examples.charlm.report`; no figure is typed.",
        "",
        *_circumstances(results),
        "",
        *_accuracy(trained(results)),
        "",
        *_times(trained(results)),
        *_kernels(trained(results)),
        *(f"![{name}]({name})" for name in images),
    ]
    return "\n".join(lines) + "\n"


def _circumstances(results: Mapping[str, Any]) -> list[str]:
    corpus, plan = results["corpus"], results.get("plan", {"steps": 0, "trunk_steps": 0, "rounds": 0.0})
    commit = f", commit {results['commit']}" if results["commit"] else ""
    spent = f"; {results['seconds']:.0f} s for everything" if "seconds" in results else ""
    return [
        f"Trained on {results['gpu'] or 'a CPU'}, {results['settings']['arithmetic']}, Python "
        f"{results['python']}, torch {results['torch']}{commit}{spent}.",
        f"{corpus['files'] - corpus['heldout_files']} files, {corpus['characters']:,} characters to learn "
        "from;",
        f"{corpus['heldout_files']} others, {corpus['heldout_characters']:,} characters, held out.",
        f"Every network took {plan['steps']} steps, {plan['rounds']:.1f} times through the text; those of",
        f"one size share the first {plan['trunk_steps']}.",
    ]


def _accuracy(models: Mapping[str, Mapping[str, Any]]) -> list[str]:
    dense = models.get(_DENSE)
    rows = []
    for name, model in models.items():
        bits = model["bits_per_character"]
        against = f"{bits / dense['bits_per_character'] - 1:+.1%}" if dense else "-"
        complete = "" if model["complete"] else " (cut short)"
        rows.append((label(name, model) + complete, f"{model['nonzeros']:,}", f"{bits:.4f}", against))
    return _table(("network", "non-zeros", "bits a character", "against dense"), rows)


def _times(models: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Nothing where nothing was timed."""
    columns = sorted({(r["dtype"], r["batch"]) for m in models.values() for r in m.get("times", [])})
    columns = [(dtype, batch) for dtype, batch in columns if dtype != "tf32"]
    if not columns:
        return []
    dense = models.get(_DENSE, {})
    rows = []
    for name, model in models.items():
        cells = []
        for dtype, batch in columns:
            mine, theirs = best_time(model, batch, dtype), best_time(dense, batch, dtype)
            ratio = f", {theirs[0] / mine[0]:.2f}x" if mine and theirs and name != _DENSE else ""
            cells.append(f"{mine[0]:.2f}{ratio} ({mine[1]})" if mine else "-")
        rows.append((label(name, model), *cells))
    heads = [f"{dtype}, B={batch}" for dtype, batch in columns]
    return [
        "Microseconds a step, 256 steps a call, the fastest of all that was measured; behind it, how many",
        "times as fast as the dense network of full size, and by whom: pruned networks by our kernel, dense",
        "ones by torch.nn or by cuDNN called directly with its input already multiplied. An fp32 peer may",
        "use TF32.",
        "",
        *_table(("network", *heads), rows),
        "",
    ]


def _kernels(models: Mapping[str, Mapping[str, Any]]) -> list[str]:
    rows = []
    for name, model in models.items():
        for row in model.get("kernels", []):
            what = (label(name, model), f"{row['dtype']}, B={row['batch']}")
            if "failure" in row:
                rows.append((*what, row["failure"], "-", "-"))
                continue
            bits, exact = row["bits_per_character_checked"], row["bits_per_character_reference"]
            rows.append(
                (*what, f"{bits:.4f}", f"{exact:.4f}", f"{row['relative_error']:.1e} ({row['device']})")
            )
    heads = ("kernel of", "storage", "bits a character", "the same in float64", "relative error of h")
    return [*_table(heads, rows), ""] if rows else []


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [heads, ["---"] * len(heads), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]
