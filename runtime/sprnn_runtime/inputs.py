"""What callers give, checked: arrays, states, lengths, budgets. Every error is InputError E604."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sprnn_runtime.errors import InputError
from sprnn_runtime.manifest import BATCH, Buffer, Manifest, Role

Array = NDArray[Any]
_OLD = "compile it again: its format is older than this"


def checked_input(x: Any, manifest: Manifest) -> Array:
    """``x`` as C-contiguous float32 [T, B, I]; B at most the compiled batch."""
    array = _as_array(x, "input")
    most, size = manifest.batch, manifest.input_size
    expected = f"[T, {most}, {size}]"
    if array.dtype.kind != "f":
        raise InputError("E604", f"input has type {array.dtype}, expected float32")
    if array.ndim != 3 or array.shape[2] != size or not 1 <= array.shape[1] <= most:
        more = f", or fewer than {most} columns" if most > 1 else ""
        raise InputError("E604", f"input has shape {list(array.shape)}, expected {expected}{more}")
    if array.shape[0] == 0:
        raise InputError("E604", f"input has no time steps, expected {expected} with T at least 1")
    check_batch(array.shape[1], manifest)
    return as_float32(array)


def checked_shape(x: Any, manifest: Manifest) -> tuple[int, int]:
    """T and B of an array that lies on the device."""
    shape = tuple(int(n) for n in x.shape)
    most, size = manifest.batch, manifest.input_size
    if len(shape) != 3 or shape[0] < 1 or not 1 <= shape[1] <= most or shape[2] != size:
        raise InputError("E604", f"the GPU array has shape {list(shape)}, expected [T, {most}, {size}]")
    check_batch(shape[1], manifest)
    return shape[0], shape[1]


def checked_batch(batch: Any, manifest: Manifest) -> int:
    """``batch`` where it is a number of columns that the kernels run."""
    whole = isinstance(batch, (int, np.integer)) and not isinstance(batch, bool)
    if not whole or not 1 <= batch <= manifest.batch:
        message = f"batch is {batch!r}, expected a whole number from 1 to {manifest.batch}"
        raise InputError("E604", message, "compile with a larger batch for more columns")
    check_batch(int(batch), manifest)
    return int(batch)


def check_batch(batch: int, manifest: Manifest) -> None:
    """Raises for fewer columns than were compiled where the kernels do not know of it."""
    if batch < manifest.batch and not any(BATCH in k.args for k in manifest.kernels):
        message = f"the input has {batch} columns, and this artifact runs {manifest.batch} only"
        help = "give all columns, or compile it again: then it runs fewer too"
        raise InputError("E604", message, help)


def checked_names(state: Any, manifest: Manifest) -> Mapping[str, Any]:
    """``state`` where it is a mapping of the cell's states; nothing for None."""
    if state is None:
        return {}
    known = [b.state for b in manifest.buffers if b.role is Role.STATE]
    if not isinstance(state, Mapping):
        raise InputError("E604", f"the state is {type(state).__name__}, expected arrays by name")
    unknown = [str(name) for name in state if name not in known]
    if unknown:
        raise InputError("E604", f"unknown states {unknown}; the cell has {known}")
    return state


def initial_state(buffer: Buffer, state: Mapping[str, Any], batch: int) -> Array:
    """The state of ``buffer``, C-contiguous float32 [B, size]; zeros where it is not given."""
    expected = buffer.dims_of(batch, 0)
    if buffer.state not in state:
        return np.zeros(expected, np.float32)
    array = _as_array(state[buffer.state], f"state '{buffer.state}'")
    if array.dtype.kind != "f":
        raise InputError("E604", f"state '{buffer.state}' has type {array.dtype}, expected float32")
    if array.shape != expected:
        shapes = f"{list(array.shape)}, expected {list(expected)}"
        raise InputError("E604", f"state '{buffer.state}' has shape {shapes}")
    return as_float32(array)


def lengths_buffer(manifest: Manifest) -> Buffer:
    """Where the kernels read lengths. Raises for an artifact whose kernels do not."""
    for buffer in manifest.buffers:
        if buffer.role is Role.LENGTHS:
            return buffer
    raise InputError("E604", "this artifact takes no lengths", _OLD)


def checked_lengths(lengths: Any, batch: int, steps: int) -> NDArray[np.int32]:
    """``lengths`` as int32 [B], each from 0 to T."""
    array = _as_array(lengths, "the list of lengths")
    whole = array.shape == (batch,) and array.dtype.kind in "iu"
    if not whole or array.min() < 0 or array.max() > steps:
        expected = f"expected {batch} whole numbers from 0 to {steps}"
        raise InputError("E604", f"lengths are {array.tolist()!r:.80}, {expected}")
    return array.astype(np.int32)


def resets_buffer(manifest: Manifest) -> Buffer:
    """Where the kernels read a mask. Raises for an artifact that was compiled without."""
    for buffer in manifest.buffers:
        if buffer.role is Role.RESETS:
            return buffer
    help = "compile with the schedule entry resets = by_mask (--set resets=by_mask)"
    raise InputError("E604", "this artifact takes no resets", help)


def checked_resets(resets: Any, manifest: Manifest, batch: int, steps: int) -> NDArray[np.uint8]:
    """``resets`` as C-contiguous uint8 [T, B]."""
    resets_buffer(manifest)
    array = _as_array(resets, "the mask of resets")
    if array.shape != (steps, batch) or array.dtype not in (np.bool_, np.uint8):
        got = f"{array.dtype} {list(array.shape)}"
        raise InputError("E604", f"resets are {got}, expected bool or uint8 [{steps}, {batch}]")
    return np.ascontiguousarray(array).astype(np.uint8)


def check_budget(budget_ns: Any) -> None:
    if budget_ns is None:
        return
    whole = isinstance(budget_ns, (int, np.integer)) and not isinstance(budget_ns, bool)
    if not whole or not 1 <= budget_ns < 1 << 63:
        raise InputError("E604", f"budget_ns is {budget_ns!r}, expected a whole number of nanoseconds from 1")


def _as_array(given: Any, what: str) -> Array:
    """Raises for what is no array: a ragged list, an object."""
    try:
        return np.asarray(given)
    except (ValueError, TypeError) as error:
        raise InputError("E604", f"{what} is not a rectangular array: {error}") from error


def as_float32(array: Array) -> Array:
    """C-contiguous; a float64 beyond float32 becomes Inf."""
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(array, np.float32)
