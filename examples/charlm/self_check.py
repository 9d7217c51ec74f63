"""Every part once, tiny, before anything long begins: what is missing on a machine shows within seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from examples.charlm import timing
from examples.charlm.corpus import Symbols
from examples.charlm.kernels import Variant, check_kernel, compile_model
from examples.charlm.model import CharModel
from examples.charlm.network import bits_per_character, exported
from examples.charlm.training import Learner, Recipe, Text, train
from sprnnc import Artifact

_HIDDEN, _DENSITY, _STEPS = 64, 0.25, 16


def self_check(folder: Path, symbols: Symbols, device: str, target: str) -> str:
    """Trains, prunes, exports, compiles, runs and times a tiny network; returns a line about it.

    Raises SystemExit where one of them gives another result than it must.
    """
    recipe = Recipe(batch=4, length=32, prunings=2)
    learner = Learner.new(_HIDDEN, 0.0, recipe, device, seed=0)
    train(
        learner,
        Text(symbols[:50_000], recipe, device),
        recipe,
        8,
        falling=True,
        density=_DENSITY,
        report=lambda line: None,
    )
    model = exported(learner.network, {})
    density = float(np.mean(model.recurrent != 0))
    if abs(density - _DENSITY) > 0.01:
        raise SystemExit(f"pruning is wrong: asked for a density of {_DENSITY}, got {density:.3f}")
    model.save(folder)
    variant = Variant(2, "fp32")
    compile_model(folder, variant, target)
    artifact = Artifact.load(folder / variant.file)
    text = symbols[: 2 * (_STEPS + 1)]
    runs_on = "cuda" if device == "cuda" else "sim"
    checked = check_kernel(artifact, CharModel.load(folder), text, runs_on, _STEPS, _STEPS)
    expected = bits_per_character(learner.network, text, 2)
    if abs(checked["bits_per_character"] - expected) > 1e-3:
        raise SystemExit(
            f"the export is wrong: {checked['bits_per_character']:.4f} bits a character by the kernel, "
            f"{expected:.4f} by PyTorch"
        )
    if device == "cuda":
        timing.ours(artifact, model, symbols)
        timing.torch_nn(learner.network, symbols, 1, "fp16")
    where, error = checked["device"], checked["relative_error"]
    return f"a tiny network was trained, pruned and compiled; on {where} its error is {error:.1e}"
