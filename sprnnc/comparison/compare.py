"""Runs two versions over the same input, and gathers what there is to say about each."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sprnn_runtime.layer import open_layer

from sprnnc.artifact import Artifact
from sprnnc.comparison.measures import Difference, difference
from sprnnc.diagnostics import CompileError, Diagnostic
from sprnnc.executors import Run, execute, relative_error
from sprnnc.explanation import gather_facts
from sprnnc.measurement import Measurement
from sprnnc.schedule.predict import Prediction

Array = NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Version:
    """One of the two: its name for readers, and what ``bench --save`` measured of it, if anything."""

    name: str
    artifact: Artifact
    measurement: Measurement | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """What is known of a version after its run. Sizes in bytes; ``arithmetic``: its error against its own
    float64 reference; ``measured``: microseconds a step, with ``measured_on`` and how."""

    version: Version
    output: Array
    device: str
    arithmetic: float
    densities: dict[str, float]
    nonzeros: int
    dense_bytes: int
    packed_bytes: int
    artifact_bytes: int
    prediction: Prediction | None
    measured: float | None
    measured_on: str


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """B against A. ``data``: what the input was, in words; ``note``: why device auto took the reference."""

    a: Side
    b: Side
    difference: Difference
    data: str
    note: str

    @property
    def sides(self) -> tuple[tuple[str, Side], tuple[str, Side]]:
        """Both, by the letters that readers know them by."""
        return ("A", self.a), ("B", self.b)


def compare(
    a: Version,
    b: Version,
    x: Array,
    *,
    device: str = "auto",
    seed: int = 0,
    data: str = "yours",
    progress: Callable[[str], None] = lambda stage: None,
) -> Comparison:
    """Both versions over ``x`` float32 [T, B, I] from zero states.

    Versions may differ in everything but the sizes of input, batch and output. Raises CompileError E622 where
    those do, and as ``execute``.
    """
    check_comparable(a, b)
    sides, notes = [], []
    for version in (a, b):
        progress(f"running {version.name}")
        run = execute(version.artifact, x, device=device, seed=seed)
        notes.append(run.note)
        progress(f"explaining {version.name}")
        sides.append(_side(version, run, x, seed))
    apart = difference(sides[0].output, sides[1].output)
    return Comparison(sides[0], sides[1], apart, data, next(filter(None, notes), ""))


def check_comparable(a: Version, b: Version) -> None:
    """Raises CompileError E622 with every size in which two versions must not differ, and do."""
    sizes = {
        "input": (a.artifact.manifest.input_size, b.artifact.manifest.input_size),
        "output": (a.artifact.manifest.output_size, b.artifact.manifest.output_size),
        "batch": (a.artifact.manifest.batch, b.artifact.manifest.batch),
    }
    helps = {
        "input": "both must read the same data",
        "output": "outputs are compared one by one: add a projection, or compare behind the next layer",
        "batch": "compile both with the same --batch",
    }
    errors = [
        Diagnostic(
            "E622",
            f"{a.name} and {b.name} cannot be compared: their {what} sizes are {ours} and {theirs}",
            help=helps[what],
        )
        for what, (ours, theirs) in sizes.items()
        if ours != theirs
    ]
    if errors:
        raise CompileError(tuple(errors))


def _side(version: Version, run: Run, x: Array, seed: int) -> Side:
    artifact, tensors = version.artifact, version.artifact.tensors
    matrices = {w.name: tensors[w.name] for w in artifact.model.cell.weights}
    exact = execute(artifact, x, device="reference", seed=seed).y
    measured, where = _measured(version, run, x)
    return Side(
        version=version,
        output=run.y,
        device=run.device,
        arithmetic=relative_error(run.y, exact),
        densities={name: np.count_nonzero(m) / m.size for name, m in matrices.items()},
        nonzeros=sum(int(np.count_nonzero(m)) for m in matrices.values()),
        dense_bytes=sum(t.size for t in tensors.values()) * artifact.model.dtype.size_bytes,
        packed_bytes=sum(p.nbytes for p in artifact.packed.values()),
        artifact_bytes=len(artifact.to_bytes()),
        prediction=gather_facts(artifact).prediction,
        measured=measured,
        measured_on=where,
    )


def _measured(version: Version, run: Run, x: Array) -> tuple[float | None, str]:
    """Microseconds a step: now, on the GPU that ran it, else as ``bench --save`` kept them."""
    if run.device == "cuda":
        with open_layer(version.artifact.loaded(), "cuda") as layer:
            return statistics.median(layer.time_us(x)), f"{layer.hardware}, {len(x)} steps"
    m = version.measurement
    return (None, "") if m is None else (m.median_us, f"{m.device}, {m.steps} steps")
