"""Generated kernels: names, expressions, and one reviewed golden kernel for each exchange."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sprnnc
from sprnnc.cell.ir import Binary, BinaryOp, Number, Ref, Space, Unary, UnaryOp
from sprnnc.codegen.expressions import c_expression, c_number
from sprnnc.codegen.names import Names

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).parent / "golden"
H = Space("H", 4)
a, b, c = (Ref(n, H) for n in "abc")


def binary(op: str, left: object, right: object) -> Binary:
    return Binary(BinaryOp(op), left, right)  # type: ignore[arg-type]


@pytest.mark.parametrize(("value", "text"), [
    (binary("+", binary("*", a, b), c), "a * b + c"),
    (binary("*", a, binary("+", b, c)), "a * (b + c)"),
    (binary("-", a, binary("-", b, c)), "a - (b - c)"),
    (binary("+", a, binary("+", b, c)), "a + (b + c)"),
    (binary("/", a, binary("*", b, c)), "a / (b * c)"),
    (Unary(UnaryOp.NEG, binary("+", a, b)), "-(a + b)"),
    (Unary(UnaryOp.NEG, Unary(UnaryOp.NEG, a)), "-(-a)"),
    (binary("*", a, Number(-2.0)), "a * -2.0f"),
    (binary("min", a, Unary(UnaryOp.SIGMOID, b)), "minimum(a, sigmoid(b))"),
])  # fmt: skip
def test_expressions_keep_the_order_of_evaluation(value: Binary, text: str) -> None:
    assert c_expression(value, lambda n: n) == text


@pytest.mark.parametrize("number", [0.1, 1.0, 1e-6, -2.5, 3.4e38, 1e-45, float("inf"), float("-inf")])
def test_numbers_are_the_nearest_fp32(number: float) -> None:
    text = c_number(number)
    if np.isinf(number):
        assert text == f"__uint_as_float(0x{'7F' if number > 0 else 'FF'}800000u)"
    else:
        assert np.float32(text.removesuffix("f")) == np.float32(number)


def test_names_are_readable_unique_and_never_reserved() -> None:
    names = Names()
    assert names("h'") == "h_next"
    assert names("h_next") == "h_next_"
    assert names("float") == "float_"
    assert names("lane") == "lane_"
    assert names("slots_1") == "v_slots_1"
    assert names("kBatch") == "kBatch_"
    assert names("h'") == "h_next"


HOSTILE = """
cell C(I, H) {
  input  float[I], steps[H]
  state  lane[H], h_next[H]
  weight warp[H, I], slot[H, H], status[H, H]
  bias   t[H], u[H]
  output_ = warp @ float + t
  lane' = tanh(slot @ lane + output_ + u * steps)
  h_next' = 0.5 * sigmoid(status @ h_next) + lane'
  output h_next'
}
model m { layer main = C(I=5, H=9) }
"""


def test_names_that_clash_with_the_kernel_still_work() -> None:
    artifact = sprnnc.compile(HOSTILE, random_weights=1, batch=2, target="sim")
    x = np.random.default_rng(0).standard_normal((20, 2, 14)).astype(np.float32)
    run = sprnnc.execute(artifact, x, device="sim", check=True)
    assert run.error is not None and run.error < 1e-6
    assert sprnnc.compile(HOSTILE, random_weights=1, target="sm_90").cubin


@pytest.mark.parametrize("accumulate", ["fp32", "fp16"])
@pytest.mark.parametrize("activations", ["accurate", "fast"])
def test_numerics_choices_agree_with_the_reference(accumulate: str, activations: str) -> None:
    text = (ROOT / "examples/lstm.sprnn").read_text()
    text = text.replace("layer main", f"dtype fp16\n  accumulate {accumulate}\n  layer main")
    artifact = sprnnc.compile(
        text, random_weights=1, batch=3, target="sim", schedule={"activations": activations, "chain": 3}
    )
    x = np.random.default_rng(0).standard_normal((64, 3, 16)).astype(np.float32)
    for device in ("plan", "sim"):
        run = sprnnc.execute(artifact, x, device=device, check=True)
        assert run.error is not None and run.error < 1e-2


ELEMENTWISE = """
cell E(H) {
  input  x[H]
  state  h[H]
  bias   b[H]
  const  low = -0.75, high = 0.5
  a = clamp(x, low, high) - min(b, x) / (1 + abs(x))
  d = max(softplus(x), exp(-abs(b))) + log(1 + relu(x) * relu(x))
  h' = 0.5 * tanh(h) + sigmoid(a) * -d
  output h' + x
}
model m { layer main = E(H=37) }
"""


@pytest.mark.parametrize("device", ["plan", "sim"])
def test_every_function_in_a_cell_without_products(device: str) -> None:
    artifact = sprnnc.compile(ELEMENTWISE, random_weights=1, batch=3, target="sim")
    assert artifact.plan.phases == ()
    x = np.random.default_rng(0).standard_normal((20, 3, 37)).astype(np.float32)
    run = sprnnc.execute(artifact, x, device=device, check=True)
    assert run.error is not None and run.error < 1e-6


@pytest.mark.parametrize("device", ["plan", "sim"])
def test_nan_and_inf_flow_as_in_the_reference(device: str) -> None:
    artifact = sprnnc.compile(ROOT / "examples/elman_tanh.sprnn", random_weights=1, batch=2, target="sim")
    x = np.random.default_rng(0).standard_normal((12, 2, artifact.manifest.input_size)).astype(np.float32)
    x[3, 0, 0], x[5, 1, 1] = np.nan, np.inf
    x[6, 1, 2] = np.uint32(0xFFFFFFFF).view(np.float32)  # the bits of "not yet published"
    run = sprnnc.execute(artifact, x, device=device)
    expected = sprnnc.execute(artifact, x, device="reference")
    assert np.isnan(expected.y).any() and np.isfinite(expected.y).any()
    np.testing.assert_array_equal(np.isnan(run.y), np.isnan(expected.y))
    np.testing.assert_allclose(run.y, expected.y, atol=1e-5)


@pytest.mark.parametrize(("name", "golden", "schedule"), [
    ("elman_tanh", "lamport", {"exchange": "lamport"}),
    ("lstm_projection", "barrier", {"exchange": "barrier"}),
    ("elman_relu", "joined", {"input_products": "joined"}),
    ("elman_tanh", "barrier_2_devices", {"exchange": "barrier", "devices": 2}),
])  # fmt: skip
def test_golden(name: str, golden: str, schedule: dict[str, Any], request: pytest.FixtureRequest) -> None:
    artifact = sprnnc.compile(
        ROOT / f"examples/{name}.sprnn",
        random_weights=1,
        batch=3,
        target="sim",
        dtype="fp16",
        schedule={"register_slots": 6} | schedule,
    )
    text = artifact.kernel_source
    own = text[: text.index("// ---- ptx.cuh")] + text[text.index("// ---- this kernel") :]
    path = GOLDEN / f"{name}_{golden}.cu"
    if request.config.getoption("--update-golden"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(own, encoding="utf-8")
    assert own == path.read_text(encoding="utf-8"), "review the difference, then run pytest --update-golden"


@pytest.mark.parametrize("target", ["sm_80", "sm_90", "sm_100"])
@pytest.mark.parametrize("exchange", ["lamport", "barrier"])
def test_what_devices_exchange_is_ordered_for_the_whole_system(target: str, exchange: str) -> None:
    schedule = {"devices": 2, "exchange": exchange}
    source = ROOT / "examples/gru_reset_before.sprnn"
    artifact = sprnnc.compile(source, random_weights=1, target=target, schedule=schedule)
    assert artifact.cubin
    assert ".sys." in artifact.kernel_source and "atomicCAS_system(" in artifact.kernel_source
    assert ".gpu." not in artifact.kernel_source and "atomicCAS(" not in artifact.kernel_source
