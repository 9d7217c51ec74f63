"""FlashRNN: arrays lie as its kernels read them, builds do not meet, and its absence is a refusal."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.cases import Case, Group, all_cases
from benchmarks.cells import CellKind, Mode
from benchmarks.peers import flashrnn_build, flashrnn_peer
from benchmarks.peers.catalogue import flashrnn_peer_of
from benchmarks.peers.flashrnn_child import load_once
from benchmarks.peers.flashrnn_layouts import Alternating, Fused
from benchmarks.peers.inputs import InputStore
from benchmarks.peers.outcome import Refused, Timing
from benchmarks.problem import Problem, draw_problem, reference, relative_error


def sigmoid(v: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-v))


def tiny(kind: CellKind, mode: Mode = Mode.RECURRENT) -> Case:
    return Case(kind, 12, 8, 0.3, mode=mode, steps=5, dtype="fp32")


def gated_inputs(problem: Problem, layout: Fused | Alternating) -> np.ndarray:
    """What the child gives the kernel for its inputs, without the head."""
    steps, batch, hidden = problem.x.shape
    shape = steps, batch, *layout.gated(hidden, len(problem.bias))
    if problem.input_weights is None:
        one = problem.x.reshape(steps, batch, *layout.gated(hidden, 1))
        return np.broadcast_to(one, shape)
    weights = layout.rows(problem.input_weights).reshape(-1, hidden)
    return (problem.x.reshape(-1, hidden) @ weights.T).reshape(shape)


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("kind", [CellKind.RNN, CellKind.LSTM])
def test_the_fused_kernel_computes_the_cell(kind, mode):
    """As its sources have it: x and bias [H, gates], matrices [H, gates, H], our order of gates."""
    problem = draw_problem(tiny(kind, mode))
    layout = Fused()
    r, b, x = layout.recurrent(problem.recurrent), layout.bias(problem.bias), gated_inputs(problem, layout)
    h = c = np.zeros((8, 12))
    for t, expected in enumerate(reference(problem)):
        raw = x[t] + np.einsum("dgp,bp->bdg", r, h) + b
        if kind is CellKind.RNN:
            h = np.tanh(raw[..., 0])
        else:
            i, f, z, o = np.moveaxis(raw, -1, 0)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(z)
            h = sigmoid(o) * np.tanh(c)
        assert relative_error(h, expected) < 1e-5


@pytest.mark.parametrize("mode", Mode)
def test_the_alternating_kernels_compute_the_gru(mode):
    """As its sources have it: matrices new, reset, update; inputs reset, update, new; four biases."""
    problem = draw_problem(tiny(CellKind.GRU, mode))
    layout = Alternating()
    r, b, x = layout.recurrent(problem.recurrent), layout.bias(problem.bias), gated_inputs(problem, layout)
    h = np.zeros((8, 12))
    for t, expected in enumerate(reference(problem)):
        ry = (h @ r.reshape(12, -1)).reshape(8, 3, 12)
        reset, update = sigmoid(x[t][:, 0] + ry[:, 1] + b[1]), sigmoid(x[t][:, 1] + ry[:, 2] + b[2])
        new = np.tanh(x[t][:, 2] + b[3] + reset * (ry[:, 0] + b[0]))
        h = update * h + (1 - update) * new
        assert relative_error(h, expected) < 1e-5


def test_builds_have_names_of_their_own_and_no_lock_stops_them(tmp_path, monkeypatch):
    folders = {}

    def folder_of(name: str, verbose: bool) -> str:
        folders[name] = tmp_path / name
        folders[name].mkdir(exist_ok=True)
        (folders[name] / "lock").touch()
        return str(folders[name])

    extension = SimpleNamespace(_get_build_directory=folder_of)
    for name, module in {"torch": None, "torch.utils": None, "torch.utils.cpp_extension": extension}.items():
        monkeypatch.setitem(sys.modules, name, module)

    def load(name: str, sources: list[str], **options: object) -> str:
        assert not (folders[name] / "lock").exists()
        return name

    flags = {"extra_cflags": ["-DA=1"], "extra_cuda_cflags": []}
    first = load_once(load, "lstm_f_long", [], **flags)
    assert load_once(load, "lstm_f_long", [], **flags) == first
    assert load_once(load, "lstm_f_long", [], **(flags | {"extra_cflags": ["-DA=2"]})) != first


def test_its_absence_is_a_refusal(monkeypatch):
    monkeypatch.setattr(flashrnn_peer, "_environment", lambda folder: {"PYTHONPATH": ""})
    case = tiny(CellKind.RNN)
    peer = flashrnn_peer_of(case, 60)
    inputs = InputStore(draw_problem(case)).inputs(peer.precision, peer.batch)
    with pytest.raises(Refused, match="torch"):
        peer.run(inputs, Timing(repeats=1))


def test_cases_that_are_built_ahead_are_those_of_its_group(monkeypatch, capsys):
    asked = []

    def build_one(case: Case, seconds: float) -> str:
        asked.append(case)
        return f"{case.name}: built"

    monkeypatch.setattr(flashrnn_build, "build_one", build_one)
    flashrnn_build.main(["--group", "flashrnn", "--workers", "1"])
    assert asked == [c for c in all_cases() if Group.FLASHRNN in c.groups]
    assert all(c.batch % 8 == 0 for c in asked)
    assert capsys.readouterr().out.count("built") == len(asked)


def test_no_build_begins_after_the_time_is_up(capsys):
    flashrnn_build.main(["--group", "flashrnn", "--time-limit", "0"])
    assert all(line.endswith("no time left") for line in capsys.readouterr().out.splitlines())


def test_a_build_that_fails_is_a_line(monkeypatch):
    def refuse(*args: object) -> None:
        raise Refused("no kernel after 5 s")

    monkeypatch.setattr(flashrnn_peer, "run", refuse)
    assert "refused: no kernel after 5 s" in flashrnn_build.build_one(tiny(CellKind.LSTM), 5)
