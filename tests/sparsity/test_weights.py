"""Random weights and the validation of given ones."""

from __future__ import annotations

import numpy as np
import pytest

from sprnnc.cell.ir import Cell, DType
from sprnnc.cell.weights import expected_shapes, random_weights, validate_weights
from sprnnc.diagnostics import CompileError
from sprnnc.language.check import check
from sprnnc.language.parse import parse

DECLARATIONS = (
    "weight W[H, I]  n_of_m(2, 4)",
    "weight U[H, H]  sparse(0.1) + diagonal",
    "weight V[H, H]  blocks(4, 4, 0.25)",
    "bias   b[H]",
    "weight p[H]",
)


def cell(declarations: tuple[str, ...] = DECLARATIONS) -> Cell:
    listed = "\n  ".join(declarations)
    source = f"""
cell Probe(I, H) {{
  input  x[I]
  state  h[H]
  {listed}
  h' = tanh(W @ x + U @ h + V @ h + b + p * h)
  output h'
}}
model probe {{
  layer main = Probe(I=16, H=32)
}}
"""
    return check(parse(source), source=source).cell


def codes(error: pytest.ExceptionInfo[CompileError]) -> list[str]:
    return [d.code for d in error.value.diagnostics]


def test_random_weights_have_their_shapes_and_patterns() -> None:
    tensors = random_weights(cell(), 5)
    assert {name: t.shape for name, t in tensors.items()} == expected_shapes(cell())
    assert {t.dtype for t in tensors.values()} == {np.dtype(np.float32)}
    validate_weights(cell(), tensors)
    validate_weights(cell(), {n: t.astype(np.float16).astype(np.float32) for n, t in tensors.items()})


def test_random_weights_depend_on_seed_and_name_alone() -> None:
    first, again = random_weights(cell(), 5), random_weights(cell(tuple(reversed(DECLARATIONS))), 5)
    assert first.keys() == again.keys()
    for name, tensor in first.items():
        np.testing.assert_array_equal(tensor, again[name])
    other = random_weights(cell(), 6)
    assert all((first[name] != other[name]).any() for name in first)
    assert (first["U"] != first["V"]).any()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused_unless_allowed(value: float) -> None:
    tensors = random_weights(cell(), 5)
    tensors["b"][[3, 7]] = value
    first = int(np.flatnonzero(tensors["W"])[0])
    tensors["W"].reshape(-1)[first] = value
    with pytest.raises(CompileError, match=r"tensor 'b' has 2 values .* the first at \[3\]") as error:
        validate_weights(cell(), tensors)
    assert codes(error) == ["E310", "E310"]
    validate_weights(cell(), tensors, allow_nan=True)


def test_a_wrong_density_names_what_was_declared_and_where() -> None:
    tensors = random_weights(cell(), 5)
    tensors["U"][:] = 1
    tensors["V"][:] = 0
    with pytest.raises(CompileError, match=r"declared sparse\(0.1\) \+ diagonal") as error:
        validate_weights(cell(), tensors)
    assert codes(error) == ["E311", "E311"]
    assert error.value.diagnostics[0].span.line == 6


@pytest.mark.parametrize(
    ("factor", "dtype", "says"),
    [
        (1e6, DType.FP16, "overflow in fp16"),
        (1e-9, DType.FP16, "only values that are zero in fp16"),
        (1e-43, DType.BF16, "only values that are zero in bf16"),
    ],
)
def test_weights_that_the_storage_type_cannot_hold_are_refused(
    factor: float, dtype: DType, says: str
) -> None:
    tensors = random_weights(cell(), 5)
    tensors["W"] *= np.float32(factor)
    with pytest.raises(CompileError, match=says) as error:
        validate_weights(cell(), tensors, dtype=dtype)
    assert codes(error) == ["E312"]
    validate_weights(cell(), tensors)
