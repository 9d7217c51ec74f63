"""Generated kernels compile for every architecture, without a GPU, and never spill."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from cuda.core import Program, ProgramOptions
from drawn import CELLS

import sprnnc
from sprnnc.build import nvrtc
from sprnnc.build.nvrtc import Resources, build_cubin, parse_resources
from sprnnc.diagnostics import CompileError

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize("target", ["sm_80", "sm_86", "sm_90", "sm_100", "sm_120"])
@pytest.mark.parametrize(("name", "dtype", "exchange"), [
    ("lstm", "fp32", "lamport"), ("gru_reset_before", "fp16", "barrier"), ("slstm", "bf16", "lamport"),
])  # fmt: skip
def test_builds_for(target: str, name: str, dtype: str, exchange: str) -> None:
    artifact = sprnnc.compile(
        EXAMPLES / f"{name}.sprnn",
        random_weights=1,
        batch=4,
        target=target,
        dtype=dtype,
        schedule={"exchange": exchange},
    )
    assert artifact.cubin is not None and artifact.cubin[:4] == b"\x7fELF"
    assert {"recurrence", "product_of_inputs_1"} <= set(artifact.manifest.resources)
    assert all(r.spill_bytes == 0 for r in artifact.manifest.resources.values())


@pytest.mark.parametrize("target", ["sm_80", "sm_90", "sm_120"])
@pytest.mark.parametrize("exchange", ["lamport", "barrier"])
def test_products_of_the_inputs_build_in_the_loop(target: str, exchange: str) -> None:
    schedule = {"exchange": exchange, "input_products": "joined"}
    artifact = sprnnc.compile(
        EXAMPLES / "gru_reset_before.sprnn", random_weights=1, batch=4, target=target, schedule=schedule
    )
    assert set(artifact.manifest.resources) == {"recurrence", "operand_of_inputs_1"}
    assert all(r.spill_bytes == 0 for r in artifact.manifest.resources.values())
    assert artifact.plan.choices.input_products.by_user


def test_fp16_accumulation_and_fast_activations_build() -> None:
    text = (
        (EXAMPLES / "lstm.sprnn")
        .read_text()
        .replace("layer main", "dtype fp16\n  accumulate fp16\n  layer main")
    )
    artifact = sprnnc.compile(
        text, random_weights=1, batch=4, target="sm_90", schedule={"activations": "fast", "register_slots": 1}
    )
    assert "HalfSums" in artifact.kernel_source and "tanh_approx" in artifact.kernel_source


def test_a_plan_that_spills_goes_back_with_fewer_loads_then_fewer_register_slots(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first builds are made to spill by promising the compiler too few registers."""
    budgets = []

    def spilling(source: str, arch: str) -> nvrtc.Cubin:
        cubin = build_cubin(source, arch)
        budgets.append(source.count("register_slots_1[s] ="))
        if len(budgets) < 3:
            used = cubin.resources["recurrence"]
            spilt = Resources(used.registers, used.shared_bytes, 64, 10)
            return nvrtc.Cubin(arch, cubin.code, cubin.resources | {"recurrence": spilt})
        return cubin

    monkeypatch.setattr("sprnnc.compiler.build_cubin", spilling)
    chosen = {"sizes": {"H": 1024}, "schedule": {"unpack": "each_step"}, "target": "sm_90"}
    free = sprnnc.compile(EXAMPLES / "lstm.sprnn", random_weights=1, **chosen)
    monkeypatch.undo()
    whole = sprnnc.compile(EXAMPLES / "lstm.sprnn", random_weights=1, **chosen)
    assert len(budgets) == 3
    assert whole.plan.slot_format.words == 2  # ten bytes are three words, in two slots
    assert (whole.plan.loads_in_flight, free.plan.loads_in_flight) == (16, 8)
    assert "opaque(lane);" in whole.kernel_source and "opaque(lane);" not in free.kernel_source
    assert free.plan.phases[0].register_slots == whole.plan.phases[0].register_slots - (2 + 2)


def test_tiles_that_spill_give_way_to_single_values(monkeypatch: pytest.MonkeyPatch) -> None:
    def spilling(source: str, arch: str) -> nvrtc.Cubin:
        cubin = build_cubin(source, arch)
        used = cubin.resources["recurrence"]
        spilt = Resources(used.registers, used.shared_bytes, 64, 10)
        more = {"recurrence": spilt} if "TileSlot" in source else {}
        return nvrtc.Cubin(arch, cubin.code, cubin.resources | more)

    monkeypatch.setattr("sprnnc.compiler.build_cubin", spilling)
    text = (EXAMPLES / "elman_tanh.sprnn").read_text().replace("sparse(0.2)", "blocks(4, 4, 0.1)")
    chosen = {"sizes": {"H": 2048}, "target": "sm_90"}
    choice = sprnnc.compile(text, random_weights=1, **chosen).plan.choices.indices
    assert choice.value.value == "value" and "too few registers" in choice.reason
    with pytest.raises(CompileError) as caught:
        sprnnc.compile(text, random_weights=1, schedule={"indices": "block"}, **chosen)
    assert caught.value.diagnostics[0].code == "E411"


def test_before_nothing_fits_no_loads_overlap() -> None:
    """Each load serves seven column groups, of whose columns eight slots at once are too many."""
    artifact = sprnnc.compile(
        EXAMPLES / "slstm.sprnn",
        random_weights=1,
        batch=25,
        dtype="fp32",
        sizes={"H": 512},
        target="sm_90",
    )
    assert artifact.manifest.resources["recurrence"].spill_bytes == 0
    assert (artifact.plan.loads_in_flight, artifact.plan.choices.unroll.value) == (1, 1)
    assert "too many registers" in artifact.plan.choices.unroll.reason


def test_a_kernel_that_spills_with_its_loads_in_the_users_hands_is_not_built_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    built = []
    spilt = nvrtc.Cubin("sm_90", b"", {"recurrence": Resources(255, 0, 64, 8)})
    monkeypatch.setattr("sprnnc.compiler.build_cubin", lambda source, arch: built.append(source) or spilt)
    chosen = {"threads": 256, "unpack": "once", "in_flight": 16, "unroll": 4}
    with pytest.raises(CompileError, match="E411"):
        sprnnc.compile(EXAMPLES / "lstm.sprnn", random_weights=1, target="sm_90", schedule=chosen)
    assert "kInFlight = 16;" in built[0]
    assert len(set(built[:-1])) == len(built) - 1


def test_a_kernel_that_always_spills_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    spilt = nvrtc.Cubin("sm_90", b"", {"recurrence": Resources(255, 0, 64, 128)})
    monkeypatch.setattr("sprnnc.compiler.build_cubin", lambda source, arch: spilt)
    with pytest.raises(CompileError, match="spills 128 bytes") as caught:
        sprnnc.compile(EXAMPLES / "lstm.sprnn", random_weights=1, target="sm_90")
    assert caught.value.diagnostics[0].code == "E411"


def test_threads_that_would_spill_become_fewer_unless_they_are_the_users(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def spilling(source: str, arch: str) -> nvrtc.Cubin:
        most = 0 if "kThreads = 256;" in source else 64
        return nvrtc.Cubin("sm_90", b"", {"recurrence": Resources(128, 0, most, most)})

    monkeypatch.setattr("sprnnc.compiler.build_cubin", spilling)
    large = {"random_weights": 1, "target": "sm_90", "batch": 4, "sizes": {"H": 1100}}
    made = sprnnc.compile(EXAMPLES / "elman_tanh.sprnn", **large)
    assert made.plan.choices.threads.value == 256
    assert made.plan.choices.threads.reason.startswith("512 would have too few registers")
    with pytest.raises(CompileError, match="E411"):
        sprnnc.compile(EXAMPLES / "elman_tanh.sprnn", **large, schedule={"threads": 512})


def test_without_nvrtc_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cuda.core", None)
    with pytest.raises(CompileError, match="nvidia-cuda-nvrtc") as caught:
        build_cubin("", "sm_90")
    assert caught.value.diagnostics[0].code == "E501"


def test_the_resource_report_is_read_from_the_log_of_ptxas() -> None:
    log = """ptxas info    : Compiling entry function 'a' for 'sm_90'
ptxas info    : Function properties for a
ptxas         .     16 bytes stack frame, 8 bytes spill stores, 12 bytes spill loads
ptxas info    : Used 40 registers, used 1 barriers, 2048 bytes smem
ptxas info    : Compiling entry function 'b' for 'sm_90'
ptxas info    : Function properties for b
ptxas         .     0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 12 registers
"""
    assert parse_resources(log) == {"a": Resources(40, 2048, 16, 20), "b": Resources(12, 0, 0, 0)}


WAYS = (
    {"dtype": "fp32", "batch": 3},
    {"dtype": "fp16", "batch": 9, "schedule": {"exchange": "barrier"}},
    {"dtype": "bf16", "batch": 1, "schedule": {"fetch": "threads"}},
)


@pytest.mark.parametrize("number", range(len(CELLS)), ids=CELLS)
def test_a_kernel_compiles_without_a_warning(number: int) -> None:
    """Whoever takes a kernel along may treat warnings as errors."""
    artifact = sprnnc.compile(
        EXAMPLES / f"{CELLS[number]}.sprnn", random_weights=1, target="sm_90", **WAYS[number % len(WAYS)]
    )
    log = io.StringIO()
    options = ProgramOptions(std="c++17", arch="sm_90", name="kernel.cu", no_cache=True)
    Program(artifact.kernel_source, "c++", options).compile("cubin", logs=log)
    assert "warning" not in log.getvalue()


def test_a_wide_batch_fits_when_the_lane_gives_up_its_register() -> None:
    text = (EXAMPLES / "slstm.sprnn").read_text()
    made = sprnnc.compile(text, random_weights=1, batch=33, target="sm_90", sizes={"H": 64, "I": 512})
    assert all(r.spill_bytes == 0 for r in made.manifest.resources.values())
