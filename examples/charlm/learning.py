"""Trains all networks of a run in their order, and begins to compile each pruned one when it is done."""

from __future__ import annotations

import time
from concurrent.futures import Executor

import numpy as np
import torch

from examples.charlm.kernels import Variant, compile_model
from examples.charlm.network import bits_per_character, exported, hidden_of_equal_count, parameter_count
from examples.charlm.run import DENSE, EQUAL, Run, pruned_name
from examples.charlm.training import (
    Learner,
    Stopped,
    dropout_of,
    seconds_a_pruning,
    seconds_a_step,
    train,
)

_MARGIN = 0.93  # of the time that is planned, so that a slower stretch overruns nothing


def train_all(run: Run, pool: Executor) -> None:
    """The trunk, its branches, and the dense network of equal non-zeros; each result is written at once."""
    options, seed = run.options, run.options.seed
    first, *others = options.densities
    equal = hidden_of_equal_count(options.hidden, first)
    trunk = Learner.new(options.hidden, options.dropout, run.recipe, run.machine.device, seed)
    small = Learner.new(equal, _dropout(run, equal, 1.0), run.recipe, run.machine.device, seed)
    steps = plan_steps(run, trunk, small)
    ahead = run.recipe.trunk_steps(steps)
    run.say(f"trunk of H={options.hidden}: {ahead} steps")
    if not _learn(run, trunk, ahead, falling=False):
        raise SystemExit("the time limit is too short for anything: give a smaller --hidden or --batch")
    for density in (first, None, *others):
        name = DENSE if density is None else pruned_name(density)
        if _is_time_for(run, name):
            run.say(f"{name}: {steps - ahead} steps from the trunk")
            learner = trunk.branch(run.recipe)
            learner.network.dropout.p = _dropout(run, options.hidden, density or 1.0)
            whole = _learn(run, learner, steps - ahead, falling=True, density=density)
            _finish(run, pool, name, learner, whole)
    if not options.no_equal and _is_time_for(run, EQUAL):
        run.say(f"{EQUAL}: H={equal}, {steps} steps")
        whole = _learn(run, small, ahead, falling=False) and _learn(run, small, steps - ahead, falling=True)
        _finish(run, pool, EQUAL, small, whole)


def _dropout(run: Run, hidden: int, density: float) -> float:
    """``--dropout`` is that of the dense network of size ``--hidden``."""
    whole = parameter_count(run.options.hidden)
    return dropout_of(run.options.dropout, parameter_count(hidden, density), whole)


def plan_steps(run: Run, trunk: Learner, small: Learner) -> int:
    """Steps of each network, trunk included, so that all of them end in time: from measured seconds."""
    options, recipe, machine = run.options, run.recipe, run.machine
    trials = 10 if machine.device == "cuda" else 3
    large_s = seconds_a_step(trunk, run.text, recipe, trials)
    small_s = 0.0 if options.no_equal else seconds_a_step(small, run.text, recipe, trials)
    pruning_s = seconds_a_pruning(trunk, recipe) * recipe.prunings * len(options.densities)
    branches = 1 + len(options.densities)
    large_share = recipe.trunk_share + branches * (1 - recipe.trunk_share)
    left = _MARGIN * (options.time_limit - run.reserve - run.elapsed) - pruning_s
    affordable = int(left / (large_share * large_s + small_s))
    steps = max(4, min(affordable, options.steps or affordable))
    rounds = steps / run.text.steps_a_round
    run.say(
        f"a step takes {large_s * 1e3:.1f} ms, of the small dense network {small_s * 1e3:.1f} ms; "
        f"{steps} steps each, {rounds:.1f} times through the text"
    )
    run.results.header["plan"] = {
        "steps": steps,
        "trunk_steps": recipe.trunk_steps(steps),
        "rounds": rounds,
        "seconds_a_step": {"large": large_s, "small": small_s},
        "seconds_of_pruning": pruning_s,
    }
    run.results.write()
    return steps


def _is_time_for(run: Run, name: str) -> bool:
    if time.monotonic() < run.training_deadline:
        return True
    run.say(f"{name}: no time left")
    run.results.put(name, skipped="no time left")
    return False


def _learn(run: Run, learner: Learner, steps: int, *, falling: bool, density: float | None = None) -> bool:
    """Whether all steps were taken before the time was up."""
    torch.manual_seed(run.options.seed + learner.taken)  # of the dropout: the same for every branch
    try:
        train(
            learner,
            run.text,
            run.recipe,
            steps,
            falling=falling,
            density=density,
            deadline=run.training_deadline,
            report=run.say,
        )
    except Stopped as stopped:
        run.say(f"  stopped after {stopped.taken} of {steps} steps: no time left")
        return False
    return True


def _finish(run: Run, pool: Executor, name: str, learner: Learner, whole: bool) -> None:
    """Bits a character on held-out text, the exported model, and, where it is pruned, its kernels begun."""
    network = learner.network
    bits = bits_per_character(network, run.corpus.heldout, run.recipe.batch)
    model = exported(network, {"python": run.corpus.python})
    run.networks[name], run.models[name] = network, model
    run.say(f"{name}: {bits:.4f} bits a character on held-out text")
    run.results.put(
        name,
        hidden=network.hidden,
        density=float(np.mean(model.recurrent != 0)),
        parameters=parameter_count(network.hidden),
        nonzeros=parameter_count(network.hidden) - int(np.sum(model.recurrent == 0)),
        steps=learner.taken,
        complete=whole,
        dropout=network.dropout.p,
        bits_per_character=bits,
        density_by_gate=model.densities,
    )
    if name in (DENSE, EQUAL):
        return
    model.save(run.work / name)
    for dtype in run.machine.dtypes:
        for batch in run.options.batches:
            variant = Variant(batch, dtype)
            build = pool.submit(compile_model, run.work / name, variant, run.machine.target)
            run.builds.append((name, variant, build))
