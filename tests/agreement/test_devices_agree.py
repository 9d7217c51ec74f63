"""Several devices: a layer's units are split over them, and whatever the schedule, they agree with one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from drawn import CELLS, LIMIT, cases
from hypothesis import given, settings
from hypothesis import strategies as st
from sprnn_runtime import WaitTimeout
from sprnn_runtime.errors import DeviceError
from sprnn_runtime.layer import Layer
from sprnn_runtime.sim_devices import SimDevices

import sprnnc

EXAMPLES = Path(__file__).parents[2] / "examples"
KINDS = ["elman_tanh", "lstm", "gru_reset_after", "gru_reset_before", "lstm_projection"]
STEPS = 12
WAYS = {
    "bulk": {"fetch": "bulk"},
    "threads": {"fetch": "threads"},
    "barrier": {"exchange": "barrier"},
}


def compiled(way: str = "bulk", devices: int = 2, **more: object) -> sprnnc.Artifact:
    """A cell of two phases, whose values reach the other device in this ``way``."""
    schedule = {"devices": devices, "threads": 96, **WAYS[way], **more}
    source = EXAMPLES / "gru_reset_before.sprnn"
    return sprnnc.compile(source, random_weights=3, batch=2, target="sim", schedule=schedule)


def inputs(artifact: sprnnc.Artifact, steps: int = STEPS) -> np.ndarray:
    shape = (steps, artifact.manifest.batch, artifact.manifest.input_size)
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("cell", CELLS)
@settings(max_examples=4)
@given(data=st.data())
def test_the_plan_of_several_devices_agrees(cell: str, data: st.DataObject) -> None:
    devices = data.draw(st.integers(2, 8), label="devices")
    case = data.draw(cases(cell, schedule={"devices": devices}))
    run = sprnnc.execute(case.artifact, case.x, device="plan", check=True)
    assert run.error is not None and run.error < LIMIT[case.artifact.manifest.dtype]


@pytest.mark.parametrize("cell", KINDS)
@settings(max_examples=2)
@given(data=st.data())
def test_the_kernels_of_two_devices_agree(cell: str, data: st.DataObject) -> None:
    case = data.draw(cases(cell, schedule={"devices": 2}))
    seed = data.draw(st.integers(0, 99), label="schedule seed")
    dtype = case.artifact.manifest.dtype
    run = sprnnc.execute(case.artifact, case.x, device="sim", check=True, seed=seed)
    assert run.error is not None and run.error < LIMIT[dtype]
    reference = sprnnc.execute(case.artifact, case.x, device="reference")
    for name, state in reference.state.items():
        error = np.linalg.norm(run.state[name] - state)
        assert error <= LIMIT[dtype] * max(1.0, float(np.linalg.norm(state)))


@pytest.mark.parametrize("way", WAYS)
def test_two_devices_give_what_one_gives(way: str) -> None:
    """The same blocks on one device or on two: not a bit differs, after several launches, for every seed."""
    two, one = (compiled(way, devices=d, blocks=4 // d, steps_per_launch=5) for d in (2, 1))
    x = inputs(one)
    expected = sprnnc.execute(one, x, device="sim")
    for seed in range(3):
        run = sprnnc.execute(two, x, device="sim", seed=seed)
        np.testing.assert_array_equal(run.y, expected.y)
        for name, state in expected.state.items():
            np.testing.assert_array_equal(run.state[name], state)


def test_more_devices_than_units() -> None:
    artifact = sprnnc.compile(
        EXAMPLES / "lstm.sprnn",
        random_weights=1,
        target="sim",
        sizes={"H": 3, "I": 2},
        schedule={"devices": 5},
    )
    run = sprnnc.execute(artifact, inputs(artifact), device="sim", check=True)
    assert run.error is not None and run.error < LIMIT["fp32"]


def test_a_cell_without_exchanges_runs_on_two() -> None:
    cell = "cell E(H) {\n  input x[H]\n  state h[H]\n  h' = tanh(h + x)\n  output h'\n}\n"
    text = cell + "model m { layer main = E(H=9) }\n"
    artifact = sprnnc.compile(text, random_weights=1, target="sim", schedule={"devices": 2})
    assert artifact.plan.phases == ()
    run = sprnnc.execute(artifact, inputs(artifact), device="sim", check=True)
    assert run.error is not None and run.error < LIMIT["fp32"]


def test_nan_and_inf_cross_as_they_are() -> None:
    artifact = compiled()
    x = inputs(artifact)
    x[3, 0, 0], x[5, 1, 1] = np.nan, np.inf
    x[6, 1, 2] = np.uint32(0xFFFFFFFF).view(np.float32)  # the bits of "not yet published"
    run, expected = (sprnnc.execute(artifact, x, device=device) for device in ("sim", "reference"))
    np.testing.assert_array_equal(np.isnan(run.y), np.isnan(expected.y))


MUTANTS = {
    "nothing reaches the other device": ("d < DEVICES; ++d) publish", "d < 1; ++d) publish"),
    "a device does not publish to itself": ("exchanges[d] + at", "exchanges[DEVICES - 1] + at"),
    "one value of one step goes astray": ("exchanges[d] + at,", "exchanges[d] + at + (at == 3 * 64 * 2),"),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_leaves_a_device_waiting(name: str) -> None:
    broken = with_source(compiled(), *MUTANTS[name])
    with pytest.raises(DeviceError, match=r"deadlock[^$]*device [01] block"):
        sprnnc.execute(broken, inputs(broken), device="sim")


def test_a_counter_that_only_its_own_device_reaches_is_noticed() -> None:
    broken = with_source(compiled("barrier"), "if (counter != own) arrive_release(counter);", "")
    with pytest.raises(DeviceError, match="deadlock"):
        sprnnc.execute(broken, inputs(broken), device="sim")


@pytest.mark.parametrize("way", ["bulk", "threads"])
def test_a_device_that_gives_up_tells_the_others(way: str) -> None:
    """In step 5 device 1 misses a value in phase 1; device 0 misses none and waits in phase 2."""
    artifact = compiled(way)
    at = 5 * artifact.plan.exchange_bytes(artifact.plan.phases[0]) // 4
    missing = f"value, active && !(d == 1 && blockIdx.x == 0 && at == {at}));"
    error = wait_in_vain(
        with_source(artifact, "value, active);\n}\n\n// Tells", f"{missing}\n}}\n\n// Tells")
    )
    assert (error.step, error.phase) == (5, 1)
    assert error.block >= artifact.plan.choices.blocks.value  # counted over all devices: one of device 1


def test_a_barrier_is_given_up_too() -> None:
    leaves = "    if (status == status_on_1 && blockIdx.x == 1 && t == 5) return;\n"
    begins = "    const unsigned stop_1 ="
    error = wait_in_vain(with_source(compiled("barrier"), begins, leaves + begins))
    assert (error.step, error.phase) == (5, 1)


def wait_in_vain(artifact: sprnnc.Artifact) -> WaitTimeout:
    """What a wait in the kernels says when its budget is spent."""
    loaded = artifact.loaded()
    device = SimDevices(loaded.source, loaded.manifest, deadlock_rounds=0)
    with Layer(loaded, device) as layer, pytest.raises(WaitTimeout) as error:
        layer(inputs(artifact), budget_ns=100_000)
    return error.value


def with_source(artifact: sprnnc.Artifact, old: str, new: str) -> sprnnc.Artifact:
    """``artifact`` with a kernel in which ``old`` is ``new``."""
    assert old in artifact.kernel_source
    return replace(artifact, kernel_source=artifact.kernel_source.replace(old, new))
