"""Wrong arguments from Python are errors of the project, never a TypeError from deep inside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import sprnnc
from sprnnc.diagnostics import CompileError
from sprnnc.explanation import explain

CELL = """
cell C(I, H) {
  input  x[I]
  state  h[H]
  weight W[H, I], U[H, H]
  h' = tanh(W @ x + U @ h)
  output h'
}
model m { layer main = C(I=3, H=4) }
"""
GOOD: dict[str, Any] = {"random_weights": 1, "target": "sim"}
X = np.zeros((2, 1, 3), np.float32)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"target": None}, "E401"),
        ({"target": ["sim"]}, "E401"),
        ({"batch": 2.0}, "E405"),
        ({"batch": True}, "E405"),
        ({"batch": np.ones(2, int)}, "E405"),
        ({"random_weights": -1}, "E301"),
        ({"random_weights": "a"}, "E301"),
        ({"random_weights": None, "weights": 5}, "E301"),
        ({"random_weights": None, "weights": {"W": [[1, 2], [3]]}}, "E306"),
        ({"random_weights": None, "weights": {1: np.zeros(3)}}, "E303"),
        ({"sizes": {"H": 8.0}}, "E211"),
        ({"sizes": {"H": True}}, "E211"),
        ({"sizes": {"H": "8"}}, "E211"),
        ({"sizes": {1: 8}}, "E212"),
        ({"dtype": []}, "E216"),
        ({"schedule": {"threads": None}}, "E403"),
        ({"schedule": {"exchange": 3}}, "E403"),
        ({"schedule": {1: 8}}, "E402"),
    ],
    ids=str,
)
def test_a_wrong_argument_of_compile(arguments: dict[str, Any], code: str) -> None:
    with pytest.raises(CompileError) as error:
        sprnnc.compile(CELL, **(GOOD | arguments))
    assert error.value.diagnostics[0].code == code


@pytest.mark.parametrize("source", [None, 5, [CELL], "a\0.sprnn"], ids=repr)
def test_a_source_that_is_no_text(source: Any) -> None:
    with pytest.raises(CompileError, match="E101"):
        sprnnc.compile(source, **GOOD)


def test_numbers_of_numpy_are_numbers() -> None:
    mine = sprnnc.compile(CELL, **GOOD, batch=2, sizes={"H": 5}, schedule={"blocks": 2})
    numpys = sprnnc.compile(
        CELL,
        target="sim",
        random_weights=np.int64(1),
        batch=np.int32(2),
        sizes={"H": np.int16(5)},
        schedule={"blocks": np.int64(2)},
    )
    assert numpys.to_bytes() == mine.to_bytes()


@pytest.mark.parametrize("device", ["reference", "plan", "sim"])
@pytest.mark.parametrize(
    ("x", "state"),
    [
        ([1, 2], {}),
        ([[1], [1, 2]], {}),
        (None, {}),
        ("x", {}),
        (X, [1]),
        (X, 0),
        (X, np.zeros((1, 4), np.float32)),
        (X, {"q": np.zeros((1, 4))}),
        (X, {"h": np.zeros((1, 5))}),
        (X, {"h": [[1], [1, 2]]}),
        (X, {"h": None}),
        (X, {"h": np.zeros((1, 4), int)}),
        (X, {"h": np.full((1, 4), "1")}),
        (X.astype(int), {}),
        (X.astype(complex), {}),
        (np.full((2, 1, 3), None), {}),
    ],
    ids=str,
)
def test_a_wrong_argument_of_execute(x: Any, state: Any, device: str) -> None:
    artifact = sprnnc.compile(CELL, **GOOD)
    with pytest.raises(CompileError, match="E604"):
        sprnnc.execute(artifact, x, state, device=device)
    assert sprnnc.execute(artifact, X.tolist(), {"h": [[0] * 4]}, device=device).y.shape == (2, 1, 4)


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda: sprnnc.compile("", random_weights=1), "E101"),
        (lambda: sprnnc.compile(CELL, **GOOD, sizes=[1]), "E403"),
        (lambda: sprnnc.compile(CELL, **GOOD, schedule=["blocks"]), "E403"),
        (lambda: explain("lstm.sprnnx"), "E604"),
    ],
)
def test_arguments_of_another_kind_are_errors_of_the_project(call: Callable[[], object], code: str) -> None:
    with pytest.raises(CompileError) as caught:
        call()
    assert caught.value.diagnostics[0].code == code
