"""Form cu: it runs (on a CPU), equals the runtime bit for bit, and says what is wrong."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from fake_build import RING, WITHOUT_PRODUCTS, build, compile_cell, run
from sprnn_runtime.layer import open_layer

import sprnnc
from sprnnc.export.folder import write_folder
from sprnnc.export.source_form import source_files

CELLS = [
    ("elman_relu", "fp16", {"exchange": "barrier"}),
    ("gru_reset_before", "bf16", {}),
    ("lstm_projection", "fp32", {}),
    ("gated_oscillator", "fp16", {"input_products": "joined"}),
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
  // lengths count from the first step of a run, whatever its launches: the second column ends after 4 of 12
  std::vector<float> yl(ya);
  const int lengths[] = {12, 4};
  EXPECT(lstm_set_lengths(a, lengths) == lstm_OK);
  EXPECT(lstm_set_state(a, lstm_STATE_h, nullptr, nullptr) == lstm_OK);
  EXPECT(lstm_set_state(a, lstm_STATE_c, nullptr, nullptr) == lstm_OK);
  EXPECT(lstm_run(a, x.data(), yl.data(), 12, nullptr) == lstm_OK);
  for (int i = 0; i < 12 * 2 * 40; ++i) EXPECT(yl[i] == (i / 40 % 2 == 1 && i / 80 >= 4 ? 0.0f : ya[i]));
  EXPECT(lstm_get_state(a, lstm_STATE_h, h.data(), nullptr) == lstm_OK);
  EXPECT(memcmp(&h[40], &ya[3 * 80 + 40], sizeof(float) * 40) == 0);
  EXPECT(lstm_set_lengths(a, nullptr) == lstm_OK);
  EXPECT(lstm_set_lengths(nullptr, lengths) == lstm_BAD_ARGUMENT);
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
  // after which no state has a known value until each is set
  EXPECT(lstm_run(a, x.data(), ya.data(), 12, nullptr) == lstm_STATES_LOST);
  EXPECT(lstm_get_state(a, lstm_STATE_c, c.data(), nullptr) == lstm_STATES_LOST);
  EXPECT(strstr(lstm_last_message(), "lstm_set_state"));
  EXPECT(lstm_set_state(a, lstm_STATE_h, nullptr, nullptr) == lstm_OK);
  EXPECT(lstm_get_state(a, lstm_STATE_h, h.data(), nullptr) == lstm_OK);
  EXPECT(lstm_run(a, x.data(), ya.data(), 12, nullptr) == lstm_STATES_LOST);
  EXPECT(lstm_set_state(a, lstm_STATE_c, nullptr, nullptr) == lstm_OK);
  EXPECT(lstm_run(a, x.data(), ya.data(), 12, nullptr) == lstm_OK);
  EXPECT(memcmp(ya.data(), yb.data(), sizeof(float) * ya.size()) == 0);
  EXPECT(lstm_finish(a, nullptr, nullptr) == lstm_OK);
  for (int code = 0; code < 13; ++code) EXPECT(strlen(lstm_error_text((lstm_error)code)) > 5);
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


CHAIN = r"""
#include <cstdio>
#include <vector>
#include "lower.h"
#include "upper.h"
int main() {
  lower_model* lower;
  upper_model* upper;
  if (lower_create(&lower, 0) || upper_create(&upper, 0)) return 1;
  std::vector<float> x(12 * 2 * 12), between(x.size()), y(x.size());
  if (fread(x.data(), 4, x.size(), stdin) != x.size()) return 2;
  if (lower_run(lower, x.data(), between.data(), 12, nullptr)) return 3;
  if (upper_run(upper, between.data(), y.data(), 12, nullptr)) return 4;
  if (lower_finish(lower, nullptr, nullptr) || upper_finish(upper, nullptr, nullptr)) return 5;
  fwrite(y.data(), 4, y.size(), stdout);
  return 0;
}
"""


def test_two_exports_link_into_one_program_and_are_a_stack(tmp_path: Path) -> None:
    text, folder = RING.read_text(), tmp_path / "both"
    artifacts = [
        sprnnc.compile(
            text.replace("model ring", f"model {name}"), random_weights=seed, batch=2, target="sm_90"
        )
        for seed, name in enumerate(("lower", "upper"))
    ]
    write_folder(folder, {n: d for a in artifacts for n, d in source_files(a, embed=True).items()})
    (folder / "chain.cu").write_text(CHAIN)
    build(folder, "lower.cu", "upper.cu", "chain.cu")
    x = np.random.default_rng(4).standard_normal((12, 2, 12)).astype(np.float32)
    done = subprocess.run(["./t"], cwd=folder, input=x.tobytes(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    wanted = x
    for artifact in artifacts:
        with open_layer(artifact.loaded(), "sim") as layer:
            wanted, _ = layer(wanted)
    np.testing.assert_array_equal(np.frombuffer(done.stdout, np.float32).reshape(x.shape), wanted)


# Three chunks of 5, 5 and 2 steps, each of them a launch of one kernel.
FAILURES = r"""
#include <cstdio>
#include <cstring>
#include <vector>
const long kSilentAt = 96;
#include "ring.cu"
#define EXPECT(what) if (!(what)) return printf("line %d: %s; %s\n", __LINE__, #what, ring_last_message()), 1
const float kNothing = -77;
int main() {
  ring_model* m;
  ring_failure failure;
  std::vector<float> x(12 * 2 * 12, 0.25f), wanted(12 * 2 * 12), y(wanted.size()), h(24);
  const size_t chunk = 5 * 2 * 12;
  EXPECT(ring_create(&m, "ring.weights", 0) == ring_OK);
  EXPECT(ring_run(m, x.data(), wanted.data(), 12, nullptr) == ring_OK);
  EXPECT(ring_finish(m, nullptr, nullptr) == ring_OK);
  EXPECT(ring_set_state(m, ring_STATE_h, nullptr, nullptr) == ring_OK);
  for (int succeeding = 0; succeeding < 3; ++succeeding) {
    // a launch fails: the run says so, launches nothing more, and leaves no state that looks right
    y.assign(y.size(), kNothing);
    fake_cuda::launches_left = succeeding;
    EXPECT(ring_run(m, x.data(), y.data(), 12, nullptr) == ring_CUDA_FAILED);
    EXPECT(strstr(ring_last_message(), "launch") && strstr(ring_last_message(), "an error of the fake"));
    EXPECT(fake_cuda::launches_left == -1);
    const size_t done = succeeding * chunk;
    EXPECT(memcmp(y.data(), wanted.data(), sizeof(float) * done) == 0);
    for (size_t i = done; i < y.size(); ++i) EXPECT(y[i] == kNothing);
    fake_cuda::launches_left = 1 << 30;
    EXPECT(ring_run(m, x.data(), y.data(), 12, nullptr) == ring_STATES_LOST);
    EXPECT(ring_get_state(m, ring_STATE_h, h.data(), nullptr) == ring_STATES_LOST);
    EXPECT(ring_finish(m, nullptr, &failure) == ring_CUDA_FAILED && failure.code == 0);
    EXPECT(strstr(ring_last_message(), "stopped before its last launch"));
    EXPECT(ring_finish(m, nullptr, nullptr) == ring_OK);  // it was said
    EXPECT(ring_run(m, x.data(), y.data(), 12, nullptr) == ring_STATES_LOST);
    EXPECT(ring_set_state(m, ring_STATE_h, nullptr, nullptr) == ring_OK);
    EXPECT(ring_run(m, x.data(), y.data(), 12, nullptr) == ring_OK);
    EXPECT(ring_finish(m, nullptr, nullptr) == ring_OK);
    EXPECT(memcmp(y.data(), wanted.data(), sizeof(float) * y.size()) == 0);
    EXPECT(ring_set_state(m, ring_STATE_h, nullptr, nullptr) == ring_OK);
  }
  // block 0 publishes nothing in the second launch of the recurrence: all blocks leave it, and it is named
  y.assign(y.size(), kNothing);
  fake_cuda::deadlock_rounds = 0;
  fake_cuda::launches_left = kSilentAt + 2;
  EXPECT(ring_set_budget_ns(m, 20000) == ring_OK);
  EXPECT(ring_run(m, x.data(), y.data(), 12, nullptr) == ring_OK);
  EXPECT(ring_finish(m, nullptr, &failure) == ring_WAITED_TOO_LONG);
  EXPECT(failure.code == 1 && failure.block < 2 && failure.step == 5 && failure.phase == 1);
  EXPECT(memcmp(y.data(), wanted.data(), sizeof(float) * chunk) == 0);
  char text[200];
  const char* format = "block %u waited for the exchange of phase 1 in step 5 longer than 20000 ns";
  snprintf(text, sizeof text, format, failure.block);
  EXPECT(strcmp(ring_last_message(), text) == 0);
  EXPECT(strstr(ring_error_text(ring_WAITED_TOO_LONG), "spent its budget"));
  EXPECT(ring_run(m, x.data(), y.data(), 12, nullptr) == ring_STATES_LOST);
  ring_destroy(m);
  return 0;
}
"""


def test_a_failure_in_the_middle_of_a_run_is_reported_and_leaves_nothing_wrong(tmp_path: Path) -> None:
    artifact = sprnnc.compile(RING, random_weights=1, batch=2, target="sm_90")
    assert (artifact.manifest.steps_per_launch, len(artifact.manifest.kernels)) == (5, 1)
    write_folder(tmp_path / "c", source_files(artifact, embed=False))
    source = (tmp_path / "c/ring.cu").read_text()
    everyone = "u.h, u.unit >= 0);"
    silent = "u.h, u.unit >= 0 && (blockIdx.x != 0 || fake_cuda::launches_left != kSilentAt));"
    assert source.count(everyone) == 1
    (tmp_path / "c/ring.cu").write_text(source.replace(everyone, silent))
    (tmp_path / "c/failures.cu").write_text(FAILURES)
    build(tmp_path / "c", "failures.cu", program="failures")
    code, out, err = run(tmp_path / "c", program="failures")
    assert code == 0, out + err
