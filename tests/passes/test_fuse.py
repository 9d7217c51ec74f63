"""Several layers as one cell compute what the layers do one after another, in turn and as a wavefront."""

from __future__ import annotations

import numpy as np
import pytest
from drawn import draw_tensors
from drawn_networks import stacks
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sprnnc.cell.ir import Vector
from sprnnc.cell.network import Network
from sprnnc.cell.network_reference import join
from sprnnc.cell.network_weights import network_shapes
from sprnnc.cell.reference import run_reference
from sprnnc.language.check import check_program
from sprnnc.language.parse import parse
from sprnnc.passes.fuse import CannotFuse, Fused, fuse
from sprnnc.passes.phases import split_into_phases
from sprnnc.schedule.network_parts import Kernels, find_groups, fused_cell, parts_of

RNN = """\
cell RNN(I, H) {
  input  x[I]
  state  h[H]
  weight W[H, I], U[H, H]
  h' = tanh(W @ x + U @ h)
  output h'
}
"""


def network(*layers: str, output: str, inputs: int = 6) -> Network:
    text = "\n  ".join(["model m {", f"input x[{inputs}]", *layers, f"output {output}", "}\n"])
    found = check_program(parse(RNN + text))
    assert isinstance(found, Network)
    return found


def layer(name: str, on: str, size: int = 6, inputs: int = 6) -> str:
    return f"layer {name} = RNN(I={inputs}, H={size}) on {on}"


@settings(max_examples=60)
@given(text=stacks(), wavefront=st.booleans(), seed=st.integers(0, 99), data=st.data())
def test_fused_layers_are_the_layers(text: str, wavefront: bool, seed: int, data: st.DataObject) -> None:
    """Every group of a drawn network, in float64: the same numbers, up to the length of every column."""
    drawn = check_program(parse(text))
    assert isinstance(drawn, Network)
    groups = find_groups(drawn)
    assume(groups)  # not where what a reader skips lies in several places
    group, steps = data.draw(st.sampled_from(groups)), data.draw(st.integers(1, 6))
    lengths = np.array(data.draw(st.lists(st.integers(1, steps), min_size=2, max_size=2)))
    kernels = Kernels.WAVEFRONT if wavefront else Kernels.IN_TURN
    fused = fused_cell(drawn, kernels, group)
    split_into_phases(fused.cell)  # checks its contract
    part = next(p for p in parts_of(drawn, kernels, groups) if p.name == group.name)
    tensors = draw_tensors(network_shapes(drawn), 1.0, seed)
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((steps, 2, drawn.input.size))
    state = {full: rng.standard_normal((2, v.space.size)) for v, (_, full) in _kept(fused)}

    streams, wanted = one_after_another(drawn, tensors, x, state, lengths)
    inputs = {v.name: join(s, streams) for v, s in zip(fused.cell.inputs, fused.sources, strict=True)}
    own = {name: state[full] for name, full in fused.states}
    y, ends = run_reference(fused.cell, part.tensors_of(tensors), inputs, own, lengths)

    past = np.arange(steps)[:, None] >= lengths
    expected = np.where(past[:, :, None], 0, join(group.output, streams))
    np.testing.assert_allclose(y, expected, atol=1e-12)
    for name, full in fused.states:
        np.testing.assert_allclose(ends[name], wanted[full], atol=1e-12)


def _kept(fused: Fused) -> list[tuple[Vector, tuple[str, str]]]:
    return list(zip(fused.cell.kept_states, fused.states, strict=True))


def one_after_another(
    drawn: Network,
    tensors: dict[str, np.ndarray],
    x: np.ndarray,
    state: dict[str, np.ndarray],
    lengths: np.ndarray,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """All streams, and the states at the end, by the oracle of one layer."""
    streams, after = {drawn.input.name: x}, {}
    for each in drawn.layers:
        turn = -1 if each.reverse else 1
        weights = {n.split(".")[1]: t for n, t in tensors.items() if n.startswith(f"{each.weights}.")}
        own = {s.name: state[full] for s in each.cell.states if (full := f"{each.name}.{s.name}") in state}
        y, ends = run_reference(each.cell, weights, join(each.operand, streams)[::turn], own, lengths)
        streams[each.name] = y[::turn]
        after |= {f"{each.name}.{name}": end for name, end in ends.items()}
    return streams, after


def test_a_stack_is_late_by_its_depth_and_exchanges_once() -> None:
    stack = network(layer("a", "x"), layer("b", "a"), layer("c", "b"), output="c")
    (group,) = find_groups(stack)
    wave = fused_cell(stack, Kernels.WAVEFRONT, group).cell
    assert (wave.lags, wave.output_lag, wave.remembered) == ((0, 1, 2), 2, ())
    assert len(split_into_phases(wave).phases) == 1
    turns = fused_cell(stack, Kernels.IN_TURN, group).cell
    assert (turns.lags, turns.output_lag) == ((), 0)
    assert len(split_into_phases(turns).phases) == 3


def test_what_is_skipped_is_remembered() -> None:
    stack = network(layer("a", "x"), layer("b", "a"), layer("c", "a + b"), output="a + c")
    (group,) = find_groups(stack)
    wave = fused_cell(stack, Kernels.WAVEFRONT, group).cell
    late = {s.name: lag for s, lag in zip(wave.states, wave.lags, strict=True) if s.name in wave.remembered}
    assert late == {"a_h_late": 1}  # a's output is read one step later by b, and two by c and the sum


@pytest.mark.parametrize(
    ("layers", "output"),
    [
        ([layer("a", "x"), "layer b = RNN(I=6, H=6) reverse on a"], "b"),
        ([layer("a", "x"), layer("b", "a")], "[a, b]"),
        ([layer("a", "x")], "a"),
    ],
)
def test_what_cannot_be_one_kernel_is_no_group(layers: list[str], output: str) -> None:
    assert find_groups(network(*layers, output=output)) == ()


def test_a_layer_that_needs_its_parts_apart_is_refused() -> None:
    text = """\
cell Leaky(I) {
  input  x[I]
  state  h[I]
  h' = 0.5 * h + x
  output h'
}
model m {
  input x[6]
  layer a = RNN(I=6, H=3) on x
  layer b = Leaky(I=9) on [a, x]
  output b
}
"""
    found = check_program(parse(RNN + text))
    assert isinstance(found, Network)
    with pytest.raises(CannotFuse, match=r"b reads parts of \[a, x\]"):
        fuse(found.layers, found.output, "M", wavefront=True)
