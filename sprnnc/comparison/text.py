"""Comparison -> text."""

from __future__ import annotations

from sprnnc.comparison.compare import Comparison, Side


def comparison_text(c: Comparison) -> str:
    """Who is compared over what, how far apart they are, what each costs, and where its weights are."""
    lines = [f"{letter}  {side.version.name}: {described(side)}" for letter, side in c.sides]
    lines += ["", f"input             {c.data}", f"device            {device(c)}", "", "B against A"]
    lines += [f"  {name:<17} {value}" for name, value in differences(c)]
    lines += ["", f"{'cost':<20}{'A':>14}{'B':>14}{'B / A':>9}"]
    lines += [f"  {name:<18}{a:>14}{b:>14}{ratio:>9}" for name, a, b, ratio in costs(c)]
    lines += [f"  {note}" for note in speed_notes(c)]
    lines += ["", f"{'density':<20}{'A':>14}{'B':>14}"]
    lines += [f"  {name:<18}{a:>14}{b:>14}" for name, a, b in densities(c)]
    return "\n".join(lines) + "\n"


def described(side: Side) -> str:
    """A version in a line: cell, sizes, storage, target."""
    artifact = side.version.artifact
    states = ", ".join(f"{s.name} {s.space.size}" for s in artifact.model.cell.states)
    plan = artifact.plan
    return (
        f"{artifact.model.cell.name} with {states}, {plan.dtype.value} for {plan.target}, batch {plan.batch}"
    )


def device(c: Comparison) -> str:
    """What ran them."""
    return " and ".join(dict.fromkeys(side.device for _, side in c.sides))


def differences(c: Comparison) -> list[tuple[str, str]]:
    """Numbers of the outputs, by name."""
    d, (steps, batch, size) = c.difference, c.a.output.shape
    rows = [
        ("largest error", f"{d.largest:.3g}"),
        ("rms error", f"{d.rms:.3g}"),
        ("relative error", f"{d.relative:.3g} of A's norm"),
        ("correlation", share(d.correlation)),
        ("cosine", share(d.cosine)),
    ]
    if d.same_largest is not None:
        rows.append(("same largest", f"{d.same_largest:.1%} of {steps} x {batch} columns of {size}"))
    if d.not_finite:
        rows.append(("left out", f"{d.not_finite} values that are NaN or infinite"))
    own = ", ".join(f"{letter} {side.arithmetic:.2g}" for letter, side in c.sides)
    rows.append(("arithmetic", f"{own}: each against its own weights in float64"))
    return rows


def share(value: float | None) -> str:
    return "undefined: a side is constant" if value is None else f"{value:.6f}"


def costs(c: Comparison) -> list[tuple[str, str, str, str]]:
    """Non-zeros, bytes and microseconds, and how B's are to A's."""
    a, b = c.a, c.b
    rows = [
        ("non-zeros", a.nonzeros, b.nonzeros, "d"),
        ("bytes if dense", a.dense_bytes, b.dense_bytes, "d"),
        ("bytes on device", a.packed_bytes, b.packed_bytes, "d"),
        ("artifact bytes", a.artifact_bytes, b.artifact_bytes, "d"),
    ]
    listed = [(name, f"{x:{form}}", f"{y:{form}}", _ratio(x, y)) for name, x, y, form in rows]
    predicted = [None if s.prediction is None else s.prediction.total for _, s in c.sides]
    for name, (x, y) in (("us predicted", predicted), ("us measured", [a.measured, b.measured])):
        if x is not None or y is not None:
            listed.append((name, _time(x), _time(y), "" if x is None or y is None else _ratio(x, y)))
    return listed


def _ratio(a: float, b: float) -> str:
    return f"{b / a:.3f}" if a else ""


def _time(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"


def speed_notes(c: Comparison) -> list[str]:
    """Where times come from, and how to get the missing ones."""
    notes = []
    for letter, side in c.sides:
        if side.measured is not None:
            notes.append(f"{letter} was measured on {side.measured_on}")
    if c.a.prediction is None or c.b.prediction is None:
        notes.append("a step's time is predicted for sm_90 alone: compile for it to see one")
    if c.a.measured is None or c.b.measured is None:
        notes.append("to measure, compare on a machine with a GPU, or run sprnnc bench ARTIFACT --save there")
    return notes


def densities(c: Comparison) -> list[tuple[str, str, str]]:
    """Matrix by matrix, those of A first; one that a version lacks has no density there."""
    names = dict.fromkeys([*c.a.densities, *c.b.densities])
    return [(n, _density(c.a, n), _density(c.b, n)) for n in names]


def _density(side: Side, name: str) -> str:
    return f"{side.densities[name]:.4f}" if name in side.densities else "-"
