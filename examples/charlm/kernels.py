"""Compiled kernels of a model: built in other processes, checked on held-out text."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sprnn_runtime.layer import open_layer

import sprnnc
from examples.charlm.corpus import Symbols
from examples.charlm.model import CharModel, columns
from sprnnc.cell.reference import run_reference
from sprnnc.executors import relative_error

# A larger error is another function, not a rounding.
WRONG = {"fp32": 1e-4, "fp16": 2e-2, "bf16": 1e-1}


@dataclass(frozen=True, slots=True)
class Variant:
    """One kernel of a model."""

    batch: int
    dtype: str

    @property
    def file(self) -> str:
        return f"b{self.batch}-{self.dtype}.sprnnx"


def compile_model(folder: Path, variant: Variant, target: str) -> float:
    """Compiles the model in ``folder`` and saves the artifact there; returns the seconds it took."""
    began = time.monotonic()
    artifact = sprnnc.compile(
        folder / "charlm.sprnn",
        weights=folder / "charlm.safetensors",
        batch=variant.batch,
        dtype=variant.dtype,
        target=target,
    )
    artifact.save(folder / variant.file)
    return time.monotonic() - began


def check_kernel(
    artifact: sprnnc.Artifact, model: CharModel, text: Symbols, device: str, steps: int, checked: int
) -> dict[str, Any]:
    """Bits a character of the kernel on ``steps`` of ``text``, and its error against float64 on ``checked``.

    The same text's bits from the float64 reference stand beside them, over ``checked`` steps. Raises
    SystemExit where the kernel computes another function.
    """
    symbols = columns(text, artifact.plan.batch, steps + 1)
    x, following = model.inputs(symbols[:-1]), symbols[1:]
    with open_layer(artifact.loaded(), device) as layer:
        y, _ = layer(x)
        used = layer.device_name
    expected, _ = run_reference(artifact.model.cell, artifact.tensors, x[:checked], {})
    error = relative_error(np.asarray(y)[:checked], expected)
    dtype = artifact.plan.dtype.value
    if not error <= WRONG[dtype]:
        raise SystemExit(f"the kernel is wrong: relative error {error:.3g}, at most {WRONG[dtype]:g} allowed")
    bits, exact = model.bits(y, following), model.bits(expected, following[:checked])
    return {
        "device": used,
        "characters": int(bits.size),
        "bits_per_character": float(bits.mean()),
        "relative_error": error,
        "checked_characters": int(exact.size),
        "bits_per_character_checked": float(bits[:checked].mean()),
        "bits_per_character_reference": float(exact.mean()),
    }


def decisions(artifact: sprnnc.Artifact) -> Mapping[str, Any]:
    """What the compiler decided, as far as a reader of the results wants to know."""
    chosen = artifact.plan.choices
    names = ("blocks", "threads", "exchange", "lanes_per_row", "register_slots", "shared_slots")
    values = {name: getattr(chosen, name).value for name in names}
    return {name: getattr(value, "value", value) for name, value in values.items()}
