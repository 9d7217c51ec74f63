"""Form cu: it runs (on a CPU), equals the runtime bit for bit, and says what is wrong."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from fake_build import WITHOUT_PRODUCTS, build, compile_cell, run
from sprnn_runtime.layer import open_layer

import sprnnc
from sprnnc.export.folder import write_folder
from sprnnc.export.source_form import source_files

CELLS = [
    ("elman_relu", "fp16", {"exchange": "barrier"}),
    ("gru_reset_before", "bf16", {}),
    ("lstm_projection", "fp32", {}),
]


def test_the_built_in_test_passes_and_a_wrong_output_fails_it(folder: Path) -> None:
    code, out, err = run(folder)
    assert (code, err) == (0, "")
    assert re.fullmatch(r"lstm: pass: 16 steps, error \S+, at most 1e-05 may be\n", out)
    main = (folder / "main.cu").read_text()
    changed = re.sub(r"(kExpected\[\] = \{\n  )\S+", r"\g<1>0.5f,", main)
    assert changed != main
    (folder / "main.cu").write_text(changed)
    build(folder, "lstm.cu", "main.cu")
    code, out, _ = run(folder)
    assert code == 1
    assert "FAIL" in out


MUTANTS = {
    "a fill is dropped": ("  TRY(fill(m->exchange_1", "  // TRY(fill(m->exchange_1"),
    "every chunk reads the first inputs": ("x + (size_t)first", "x + (size_t)0"),
    "states begin at 3": (
        "TRY(cudaMemsetAsync(m->state_h, 0",
        "TRY(cudaMemsetAsync(m->state_h, 64",
    ),
    "two arguments are swapped": ("&m->param_bi, &m->param_bf", "&m->param_bf, &m->param_bi"),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_broken_launch_code_fails_the_built_in_test(mutant: str, folder: Path) -> None:
    right, wrong = MUTANTS[mutant]
    source = (folder / "lstm.cu").read_text()
    assert source.count(right) == 1
    (folder / "lstm.cu").write_text(source.replace(right, wrong))
    build(folder, "lstm.cu", "main.cu")
    assert run(folder)[0] != 0


def test_outputs_equal_those_of_the_runtime_bit_for_bit(artifact: sprnnc.Artifact, folder: Path) -> None:
    x = np.random.default_rng(1).standard_normal((12, 2, 10)).astype(np.float32)
    x.tofile(folder / "x.bin")
    code, _, err = run(folder, "x.bin", "y.bin")
    assert code == 0, err
    with open_layer(artifact.loaded(), "sim") as layer:
        expected, _ = layer(x)
    np.testing.assert_array_equal(np.fromfile(folder / "y.bin", np.float32).reshape(12, 2, 40), expected)


@pytest.mark.parametrize(("cell", "dtype", "schedule"), CELLS, ids=[c[0] for c in CELLS])
def test_other_cells_types_and_exchanges_pass_their_test(
    cell: str, dtype: str, schedule: dict[str, str], tmp_path: Path
) -> None:
    artifact = compile_cell(cell, dtype=dtype, **schedule)
    write_folder(tmp_path / "c", source_files(artifact, embed=True))
    build(tmp_path / "c", f"{artifact.manifest.name}.cu", "main.cu")
    code, out, err = run(tmp_path / "c")
    assert code == 0, out + err


def test_a_cell_without_products_passes_its_test(tmp_path: Path) -> None:
    """It has no exchange, no status and no weights."""
    artifact = sprnnc.compile(WITHOUT_PRODUCTS, random_weights=0, batch=2, target="sm_90")
    write_folder(tmp_path / "c", source_files(artifact, embed=False))
    build(tmp_path / "c", "leaky.cu", "main.cu")
    code, out, err = run(tmp_path / "c")
    assert code == 0, out + err


@pytest.mark.parametrize("part", ["lstm.h", "run_chunk.cu"])
def test_golden(part: str, exported: Path, request: pytest.FixtureRequest) -> None:
    text = (exported / "lstm.cu").read_text(encoding="utf-8")
    begin, end = text.index("// ---- what a run does"), text.index("// ---- creation")
    own = (exported / part).read_text(encoding="utf-8") if part.endswith(".h") else text[begin:end]
    path = Path(__file__).parent / "golden" / part
    if request.config.getoption("--update-golden"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(own, encoding="utf-8")
    assert own == path.read_text(encoding="utf-8"), "review the difference, then run pytest --update-golden"


@pytest.mark.parametrize("at", [0, 1000, -1])
def test_a_changed_byte_of_the_weights_is_an_error_before_any_launch(folder: Path, at: int) -> None:
    weights = folder / "lstm.weights"
    data = bytearray(weights.read_bytes())
    data[at] ^= 1
    weights.write_bytes(bytes(data))
    code, _, err = run(folder, FAKE_CUDA_LOG=folder / "log")
    assert code == 2
    assert "checksum" in err and "expected" in err
    assert not (folder / "log").exists()


def test_weights_that_are_missing_short_or_long_are_told_apart(folder: Path) -> None:
    weights = folder / "lstm.weights"
    data = weights.read_bytes()
    weights.write_bytes(data[:-1])
    assert "is shorter than the expected" in run(folder)[2]
    weights.write_bytes(data + b"\0")
    assert "is longer than the expected" in run(folder)[2]
    weights.unlink()
    assert "cannot open 'lstm.weights'" in run(folder)[2]


def test_a_device_that_does_not_fit_is_refused(folder: Path) -> None:
    assert "device 0 is sm_80, and cannot run this program" in run(folder, FAKE_CUDA_MAJOR=8)[2]
    assert "needs 2 resident blocks; device 0 holds 1" in run(folder, FAKE_CUDA_SMS=1)[2]
    assert "bytes of shared memory a block; device 0 has 64" in run(folder, FAKE_CUDA_SHARED=64)[2]


@pytest.mark.parametrize("succeeding", [0, 1])
def test_no_memory_is_an_error(folder: Path, succeeding: int) -> None:
    code, _, err = run(folder, FAKE_CUDA_ALLOCATIONS=succeeding)
    assert code == 2
    assert "cudaMalloc" in err


def test_times_are_one_a_line_and_wrong_usage_is_said(folder: Path) -> None:
    code, out, err = run(folder, "--time", 2, 3)
    assert code == 0, err
    assert len([float(line) for line in out.splitlines()]) == 3
    assert run(folder, "--time", 0, 3)[0] == 2
    code, _, err = run(folder, "--help")
    assert code == 2
    assert "usage" in err


def test_an_input_of_half_a_step_is_refused(folder: Path) -> None:
    np.zeros(30, np.float32).tofile(folder / "x.bin")
    code, _, err = run(folder, "x.bin", "y.bin")
    assert code == 2
    assert "whole steps of float32 [2, 10]" in err
    assert not (folder / "y.bin").exists()


def test_run_allocates_nothing(folder: Path) -> None:
    run(folder, FAKE_CUDA_LOG=folder / "log")
    lines = (folder / "log").read_text().splitlines()
    first_launch = next(i for i, line in enumerate(lines) if line.startswith("launch"))
    assert "allocate" not in lines[first_launch:]


API = r"""
#include <cstdio>
#include <cstring>
#include <vector>
#include "lstm.cu"  // not only its header: this test looks inside a model
#define EXPECT(what) if (!(what)) return printf("line %d: %s; %s\n", __LINE__, #what, lstm_last_message()), 1
int main() {
  lstm_model *a, *b;
  EXPECT(lstm_create(&a, "lstm.weights", 3) == lstm_OK);
  EXPECT(lstm_create(&b, "lstm.weights", 0) == lstm_OK);
  std::vector<float> x(12 * 2 * 10, 0.25f), ya(12 * 2 * 40), yb(ya);
  EXPECT(lstm_run(a, x.data(), ya.data(), 12, nullptr) == lstm_OK);
  EXPECT(lstm_finish(a, nullptr, nullptr) == lstm_OK);
  std::vector<float> h(lstm_state_values(lstm_STATE_h)), c(lstm_state_values(lstm_STATE_c));
  EXPECT(h.size() == 80);
  // one run of 12 steps equals 5, then 7 in another model that goes on with the states
  EXPECT(lstm_run(b, x.data(), yb.data(), 5, nullptr) == lstm_OK);
  EXPECT(lstm_get_state(b, lstm_STATE_h, h.data(), nullptr) == lstm_OK);
  EXPECT(lstm_get_state(b, lstm_STATE_c, c.data(), nullptr) == lstm_OK);
  EXPECT(lstm_set_state(a, lstm_STATE_h, h.data(), nullptr) == lstm_OK);
  EXPECT(lstm_set_state(a, lstm_STATE_c, c.data(), nullptr) == lstm_OK);
  EXPECT(lstm_run(a, x.data() + 100, yb.data() + 400, 7, nullptr) == lstm_OK);
  EXPECT(memcmp(ya.data(), yb.data(), sizeof(float) * ya.size()) == 0);
  // zeros start it anew
  EXPECT(lstm_set_state(a, lstm_STATE_h, nullptr, nullptr) == lstm_OK);
  EXPECT(lstm_set_state(a, lstm_STATE_c, nullptr, nullptr) == lstm_OK);
  EXPECT(lstm_run(a, x.data(), yb.data(), 12, nullptr) == lstm_OK);
  EXPECT(memcmp(ya.data(), yb.data(), sizeof(float) * ya.size()) == 0);
  // wrong arguments
  EXPECT(lstm_run(a, x.data(), ya.data(), 0, nullptr) == lstm_BAD_ARGUMENT);
  EXPECT(lstm_run(a, nullptr, ya.data(), 1, nullptr) == lstm_BAD_ARGUMENT);
  EXPECT(lstm_run(nullptr, x.data(), ya.data(), 1, nullptr) == lstm_BAD_ARGUMENT);
  EXPECT(lstm_set_state(a, (lstm_state)9, h.data(), nullptr) == lstm_BAD_ARGUMENT);
  EXPECT(lstm_get_state(a, lstm_STATE_h, nullptr, nullptr) == lstm_BAD_ARGUMENT);
  EXPECT(lstm_set_budget_ns(a, 0) == lstm_BAD_ARGUMENT);
  EXPECT(lstm_run(a, x.data(), ya.data(), 3 * lstm_LAUNCHES + 1, nullptr) == lstm_BUSY);
  EXPECT(strstr(lstm_last_message(), "call lstm_finish"));
  // what a kernel that gave up leaves behind, in the second launch of a run
  EXPECT(lstm_finish(a, nullptr, nullptr) == lstm_OK);
  EXPECT(lstm_run(a, x.data(), ya.data(), 12, nullptr) == lstm_OK);
  const unsigned words[] = {1, 7, 2, 1};
  memcpy(a->status + 8, words, sizeof words);
  lstm_failure failure;
  EXPECT(lstm_finish(a, nullptr, &failure) == lstm_WAITED_TOO_LONG);
  EXPECT(failure.block == 7 && failure.step == 3 + 2 && failure.phase == 1);
  EXPECT(lstm_finish(a, nullptr, &failure) == lstm_OK);
  EXPECT(failure.code == 0);
  for (int code = 0; code < 12; ++code) EXPECT(strlen(lstm_error_text((lstm_error)code)) > 5);
  lstm_destroy(a);
  lstm_destroy(b);
  lstm_destroy(nullptr);
  return 0;
}
"""


def test_the_c_interface_does_what_its_header_says(folder: Path) -> None:
    (folder / "api.cu").write_text(API)
    build(folder, "api.cu", program="api")
    code, out, err = run(folder, program="api")
    assert code == 0, out + err


def test_two_exports_link_into_one_program(tmp_path: Path, artifact: sprnnc.Artifact) -> None:
    write_folder(tmp_path / "both", source_files(artifact, embed=True))
    other = compile_cell("gru_reset_after")
    for name, data in source_files(other, embed=True).items():
        (tmp_path / "both" / name).write_bytes(data)
    name = other.manifest.name
    (tmp_path / "both" / "both.cu").write_text(
        f'#include "lstm.h"\n#include "{name}.h"\n'
        f"int main() {{ lstm_model* a; {name}_model* b;\n"
        f"  return lstm_create(&a, 0) || {name}_create(&b, 0); }}\n"
    )
    build(tmp_path / "both", "lstm.cu", f"{name}.cu", "both.cu")
    assert run(tmp_path / "both")[0] == 0
