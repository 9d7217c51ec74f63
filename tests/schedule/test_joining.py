"""Whether products of the inputs join the loop: decided with a reason, or as the user says."""

from __future__ import annotations

from dataclasses import replace

import pytest

import sprnnc
from sprnnc.build import nvrtc
from sprnnc.build.nvrtc import Resources
from sprnnc.diagnostics import CompileError
from sprnnc.explanation import explain, gather_facts
from sprnnc.explanation.page import make_page
from sprnnc.language.check import check
from sprnnc.language.parse import parse
from sprnnc.passes.phases import split_into_phases
from sprnnc.schedule.choices import Choice, InputProducts
from sprnnc.schedule.choose import choose
from sprnnc.target import find_target

ELMAN = """
cell Elman(I, H) {{
  input  x[I]
  state  h[H]
  weight W[H, I]  {w}
  weight U[H, H]  {u}
  h' = tanh(W @ x + U @ h)
  output h'
}}
model m {{
  dtype fp16
  accumulate fp16
  layer main = Elman(I={inputs}, H={hidden})
}}
"""


def source(w: str = "sparse(0.1)", u: str = "sparse(0.1)", inputs: int = 512, hidden: int = 512) -> str:
    return ELMAN.format(w=w, u=u, inputs=inputs, hidden=hidden)


def decided(
    text: str, target: str = "sm_90", dense_tflops: float = 5, **schedule: object
) -> Choice[InputProducts]:
    """``dense_tflops``: of a library that is slow enough for joined products to be worth it."""
    model = check(parse(text), source=text)
    device = replace(find_target(target), dense_tflops=dense_tflops)
    return choose(model, split_into_phases(model.cell), 4, device, schedule).input_products


def test_sparse_matrices_that_fit_into_the_wait_join() -> None:
    choice = decided(source())
    assert choice.value is InputProducts.JOINED and "than a block waits" in choice.reason


def test_on_several_devices_they_stay_before_the_loop() -> None:
    choice = decided(source(), devices=2)
    assert choice.value is InputProducts.LIBRARY and "not dealt to several devices yet" in choice.reason


def test_what_a_library_multiplies_in_less_time_does_not() -> None:
    choice = decided(source(), dense_tflops=250)
    assert choice.value is InputProducts.LIBRARY and "it takes 0.01 us a step" in choice.reason


@pytest.mark.parametrize(("text", "why"), [
    (source(w="dense"), "vendors make fast"),
    (source(w="as_stored"), "no density is declared for W"),
    (source(w="sparse(0.6)"), "W is sparse(0.6)"),
    (source(u="blocks(4, 4, 0.1)"), "larger blocks without one index"),
    (source(inputs=60000), "do not fit into shared memory"),
    (source(u="dense", hidden=8192), "would not all stay on the chip"),
    (source(w="sparse(0.4)", u="sparse(0.01)", inputs=4096, hidden=2048), "a block waits for"),
], ids=lambda v: v if " " in v and "\n" not in v else "")  # fmt: skip
def test_otherwise_a_library_multiplies_them_and_the_reason_is_said(text: str, why: str) -> None:
    choice = decided(text)
    assert choice.value is InputProducts.LIBRARY and why in choice.reason


def test_nothing_joins_by_itself_where_nothing_was_measured() -> None:
    assert "of sim waits was not measured" in decided(source(inputs=16), "sim").reason


def test_the_schedule_has_the_last_word() -> None:
    assert decided(source(), input_products="library").value is InputProducts.LIBRARY
    assert decided(source(w="dense"), "sim", input_products="joined").value is InputProducts.JOINED


@pytest.mark.parametrize(("equation", "unused", "why"), [
    ("tanh(x + U @ h)", "W", "no product of the inputs"),
    ("tanh(W @ x) + h", "U", "no block ever waits"),
    ("tanh(U @ (h * (W @ x)))", "", "phase 1 publishes what depends on"),
])  # fmt: skip
def test_what_cannot_join_is_refused(equation: str, unused: str, why: str) -> None:
    lines = source().replace("I", "H").replace("(H, H)", "(H)").replace("H=512, ", "").splitlines()
    text = "\n".join(n for n in lines if not unused or f"weight {unused}" not in n)
    text = text.replace("tanh(W @ x + U @ h)", equation)
    with pytest.raises(CompileError) as raised:
        decided(text, input_products="joined")
    (diagnostic,) = raised.value.diagnostics
    assert diagnostic.code == "E404" and why in diagnostic.message


def test_inputs_that_do_not_fit_as_well_are_refused_with_the_way_out() -> None:
    with pytest.raises(CompileError) as raised:
        sprnnc.compile(
            source(inputs=60000),
            random_weights=0,
            batch=4,
            target="sm_90",
            schedule={"input_products": "joined"},
        )
    (diagnostic,) = raised.value.diagnostics
    assert diagnostic.code == "E410" and "input_products = library" in (diagnostic.help or "")


def test_a_kernel_with_too_few_registers_multiplies_before_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Builds are made to spill as long as products are joined."""
    build = nvrtc.build_cubin

    def spilling(text: str, arch: str) -> nvrtc.Cubin:
        cubin = build(text, arch)
        if "joined_2" not in text:
            return cubin
        return replace(cubin, resources=cubin.resources | {"recurrence": Resources(255, 0, 64, 64)})

    monkeypatch.setattr("sprnnc.compiler.build_cubin", spilling)
    monkeypatch.setattr("sprnnc.schedule.joining._dense_us", lambda *_: None)  # joined would pay
    artifact = sprnnc.compile(source(inputs=64), random_weights=0, batch=4, target="sm_90")
    choice = artifact.plan.choices.input_products
    assert choice.value is InputProducts.LIBRARY and "too few registers" in choice.reason
    assert artifact.plan.joined is None


def test_explanations_say_what_happens_while_a_block_waits() -> None:
    joined = {"input_products": "joined"}
    artifact = sprnnc.compile(source(), random_weights=0, batch=4, target="sm_90", schedule=joined)
    facts = gather_facts(artifact)
    alone = gather_facts(
        sprnnc.compile(
            source(), random_weights=0, batch=4, target="sm_90", schedule={"input_products": "library"}
        )
    )
    assert facts.prediction and alone.prediction
    assert 0 < facts.prediction.meanwhile < facts.prediction.exchange == alone.prediction.exchange
    assert facts.prediction.gather < 1.2 * alone.prediction.gather
    text = explain(artifact)
    assert "phase 2: W @ x, while a block waits for phase 1" in text
    assert "inputs            4096 read by each block" in text
    assert [p.title for p in make_page(facts).phases][1].endswith("while a block waits for phase 1")
    assert "phase 2: 512 x 512" in artifact.kernel_source
