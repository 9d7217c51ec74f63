"""Runs an artifact on any of the four executors, and checks the result against the reference."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import sprnn_runtime
from numpy.typing import NDArray
from sprnn_runtime.inputs import checked_lengths, checked_resets
from sprnn_runtime.layer import Layer, open_layer
from sprnn_runtime.network import open_network

from sprnnc.artifact import Artifact
from sprnnc.cell.network_reference import run_network_reference
from sprnnc.cell.reference import run_reference
from sprnnc.diagnostics import fail
from sprnnc.network_artifact import Compiled, NetworkArtifact, load
from sprnnc.recursion import room_for_deep_expressions
from sprnnc.schedule.interpreter import PlanInterpreter
from sprnnc.schedule.joining import recurrence_of
from sprnnc.schedule.network_interpreter import run_network_plan

DEVICES = ("auto", "cuda", "sim", "plan", "reference")
Array = NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """A finished run: y [T, B, O], states [B, size], the device that did it, and wall seconds.

    ``error`` is ||y - reference|| / ||reference|| in float64, or None where it was not asked for.
    ``note``: why device ``auto`` took the reference; empty where it did not.
    """

    y: Array
    state: dict[str, Array]
    device: str
    error: float | None
    seconds: float
    note: str = ""


class _Columns(NamedTuple):
    """What befalls single columns: int32 [B] and uint8 [T, B], or None."""

    lengths: Array | None
    resets: Array | None


@room_for_deep_expressions()
def execute(
    artifact: Compiled | str | Path,
    x: Array,
    state: Mapping[str, Array] | None = None,
    *,
    lengths: Sequence[int] | Array | None = None,
    resets: Array | None = None,
    device: str = "auto",
    check: bool = False,
    seed: int = 0,
) -> Run:
    """Runs ``x`` float32 [T, B, I] from ``state`` (by name, [B, size]; missing ones are zero).

    B is at most the compiled batch. ``lengths``: B whole numbers from 0 to T; past its length a column's y is
    zero and its states stay, as with the packed sequences of PyTorch; a reversed layer begins with each
    column's own last step. The states of a network are called ``layer.state``.

    ``resets``: bool or uint8 [T, B], for what was compiled with ``resets = by_mask``: where it is set, a
    column's states are zero before that step.

    ``device``: ``auto`` takes the GPU, then sim, then the reference. ``seed`` picks sim's order of
    threads. Raises CompileError E601 for an unknown device, E604 for an ``x``, a state or lengths of the
    wrong shape or type, and the runtime's own errors.
    """
    if device not in DEVICES:
        raise fail("E601", f"unknown device '{device}'", help=f"expected one of {', '.join(DEVICES)}")
    loaded = artifact if isinstance(artifact, Artifact | NetworkArtifact) else load(Path(artifact))
    x = _checked_input(loaded, x)
    state = _checked_state(loaded, {} if state is None else state, x.shape[1])
    if lengths is not None:
        lengths = checked_lengths(lengths, x.shape[1], x.shape[0])
    if resets is not None:
        resets = checked_resets(resets, loaded.manifest, x.shape[1], x.shape[0])
    columns = _Columns(lengths, resets)
    began = time.perf_counter()
    y, after, used, note = _run(loaded, x, state, columns, device, seed)
    seconds = time.perf_counter() - began
    error = relative_error(y, _reference(loaded, x, state, columns)[0]) if check else None
    return Run(y, after, used, error, seconds, note)


def relative_error(got: Array, expected: Array) -> float:
    """||got - expected|| / ||expected||; NaN in the same places counts as equal."""
    got, expected = np.asarray(got, np.float64), np.asarray(expected, np.float64)
    same = (got == expected) | (np.isnan(got) & np.isnan(expected))
    with np.errstate(all="ignore"):
        difference = np.where(same, 0.0, got - expected)
        scale = float(np.linalg.norm(np.nan_to_num(expected, posinf=0, neginf=0)))
        norm = float(np.linalg.norm(difference))
    return norm / scale if scale > 0 else norm


def _run(
    artifact: Compiled, x: Array, state: Mapping[str, Array], columns: _Columns, device: str, seed: int
) -> tuple[Array, dict[str, Array], str, str]:
    """y, states, the device that was used, and why it is not the one that was hoped for."""
    if device == "reference":
        return *_reference(artifact, x, state, columns), "reference", ""
    if device == "plan":
        return *_plan(artifact, x, state, columns), "plan", ""
    try:
        layer = _open(artifact, device, seed)
    except sprnn_runtime.Unavailable as error:
        if device != "auto":
            raise
        return *_reference(artifact, x, state, columns), "reference", error.message
    with layer:
        y, after = layer(x, dict(state), lengths=columns.lengths, resets=columns.resets)
        return y, after, layer.device_name, ""


def _open(artifact: Compiled, device: str, seed: int) -> Layer:
    if isinstance(artifact, NetworkArtifact):
        return open_network(artifact.loaded(), device, seed=seed)
    return open_layer(artifact.loaded(), device, seed=seed)


def _reference(
    artifact: Compiled, x: Array, state: Mapping[str, Array], columns: _Columns
) -> tuple[Array, dict[str, Array]]:
    if isinstance(artifact, NetworkArtifact):
        return run_network_reference(artifact.network, artifact.layer_tensors(), x, state, *columns)
    return run_reference(artifact.model.cell, artifact.tensors, x, state, *columns)


def _plan(
    artifact: Compiled, x: Array, state: Mapping[str, Array], columns: _Columns
) -> tuple[Array, dict[str, Array]]:
    with np.errstate(over="ignore"):  # a float64 beyond float32 becomes Inf
        given = {name: np.asarray(value, np.float32) for name, value in state.items()}
        x = np.asarray(x, np.float32)
    if isinstance(artifact, Artifact):
        return _plan_of_layer(artifact, x, given, columns)

    def run_part(part: str, x: Array, own: dict[str, Array]) -> tuple[Array, dict[str, Array]]:
        return _plan_of_layer(artifact.parts[part], x, own, columns)

    y, after = run_network_plan(artifact.plan, run_part, artifact.tables, x, given, columns.lengths)
    return y, {s.name: after[s.name] for s in artifact.manifest.states}  # as declared, not as they ran


def _plan_of_layer(
    artifact: Artifact, x: Array, state: dict[str, Array], columns: _Columns
) -> tuple[Array, dict[str, Array]]:
    cell = artifact.model.cell
    zeros = {s.name: np.zeros((x.shape[1], s.space.size), np.float32) for s in cell.states}
    interpreter = PlanInterpreter(recurrence_of(cell, artifact.plan.choices), artifact.plan, artifact.packed)
    y, after = interpreter.run(x, zeros | state, *columns)
    return y, {s.name: after[s.name] for s in cell.kept_states}


def _checked_input(artifact: Compiled, x: Any) -> Any:
    """``x`` as it is, or as an array where it is a list."""
    x = _as_array(x, "input")
    most, size = artifact.manifest.batch, artifact.manifest.input_size
    expected = f"[T, {most}, {size}]"
    if x.ndim != 3 or not 1 <= x.shape[1] <= most or x.shape[2] != size:
        raise fail("E604", f"input has shape {list(x.shape)}, expected {expected}")
    if x.shape[0] == 0:
        raise fail("E604", f"input has no time steps, expected {expected} with T at least 1")
    return x


def _checked_state(artifact: Compiled, state: Any, batch: int) -> dict[str, Any]:
    """The same for the states that are given."""
    sizes = {s.name: s.size for s in artifact.manifest.states}
    if not isinstance(state, Mapping):
        raise fail("E604", f"the state is {type(state).__name__}, expected arrays by name")
    unknown = [str(name) for name in state if name not in sizes]
    if unknown:
        raise fail("E604", f"unknown states {unknown}; {_owner(artifact)} has {list(sizes)}")
    arrays = {name: _as_array(value, f"state '{name}'") for name, value in state.items()}
    for name, array in arrays.items():
        expected = [batch, sizes[name]]
        if list(array.shape) != expected:
            raise fail("E604", f"state '{name}' has shape {list(array.shape)}, expected {expected}")
    return arrays


def _owner(artifact: Compiled) -> str:
    return "the network" if isinstance(artifact, NetworkArtifact) else "the cell"


def _as_array(given: Any, what: str) -> Any:
    """Numbers in lists as float32; arrays, which must be of floats already, stay what and where they are."""
    array = given
    if not hasattr(given, "ndim"):
        try:
            array = np.asarray(given)
        except (ValueError, TypeError) as error:
            raise fail("E604", f"{what} is not a rectangular array: {error}") from error
        if array.dtype.kind in "fiu":
            with np.errstate(over="ignore"):  # beyond float32 becomes Inf
                return array.astype(np.float32)
    if isinstance(array, np.ndarray) and array.dtype.kind != "f":
        raise fail("E604", f"{what} has type {array.dtype}, expected float32")
    return array
