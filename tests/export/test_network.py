"""Whole networks: they run (on a CPU), equal the runtime bit for bit, and launch what it launches."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from fake_build import build, run
from sprnn_runtime.network import open_network
from test_one_description import asked_by_c, asked_by_python

import sprnnc
from sprnnc.export.cubin_form import cubin_files
from sprnnc.export.folder import write_folder
from sprnnc.export.kernels import kernel_text, namespace_of
from sprnnc.export.self_test import numbers, random_input, self_test
from sprnnc.export.source_form import source_files
from sprnnc.export.whole import BETWEEN, whole
from sprnnc.network_artifact import NetworkArtifact

# Everything that networks have: rows of a table, both directions, weights used twice, sums, vectors side by
# side, layers without states, names that C has other plans for, and launches of different lengths.
SOURCE = """\
cell RNN(I, H) {
  input  x[I]
  state  h[H]
  weight W[H, I]
  weight U[H, H]  sparse(0.5)
  h' = tanh(W @ x + U @ h)
  output h'
}

cell Dense(I, O) {
  input  x[I]
  weight W[O, I]
  y = W @ x
  output y
}

model net {
  input n[1]
  embedding rows[7, 4] on n
  layer new   = RNN(I=4, H=4) on rows
  layer chunk = RNN(I=4, H=4) shares new %s on rows + new
  layer work  = Dense(I=8, O=3) on [new, chunk]
  output %s
}
"""
SCHEDULE = {"blocks": 2, "threads": 64, "new.steps_per_launch": 3, "work.steps_per_launch": 4}


def compile_network(direction: str, output: str = "work") -> NetworkArtifact:
    text = SOURCE % (direction, output)
    made = sprnnc.compile(text, random_weights=3, batch=2, target="sm_90", schedule=SCHEDULE)
    assert isinstance(made, NetworkArtifact)
    return made


@pytest.fixture(scope="module")
def both_ways() -> NetworkArtifact:
    return compile_network("reverse", "[work, rows]")


@pytest.fixture(scope="module")
def forward() -> NetworkArtifact:
    return compile_network("", "[work, rows]")


def export(artifact: NetworkArtifact, folder: Path, *, embed: bool = False) -> Path:
    write_folder(folder, source_files(artifact, embed=embed))
    build(folder, "net.cu", "main.cu")
    return folder


@pytest.fixture(scope="module")
def exported(both_ways: NetworkArtifact, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(both_ways, tmp_path_factory.mktemp("network") / "net")


@pytest.fixture
def folder(exported: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported, tmp_path / "net"))


def test_the_built_in_test_passes_and_a_wrong_join_fails_it(folder: Path) -> None:
    code, out, err = run(folder)
    assert (code, err) == (0, ""), out + err
    assert "net: pass: 16 steps" in out
    source = (folder / "net.cu").read_text()
    turned = "int numbers[] = {4, 8, 4, 1, 0};"
    assert source.count(turned) == 1
    (folder / "net.cu").write_text(source.replace(turned, turned.replace("1", "0")))
    build(folder, "net.cu", "main.cu")
    assert run(folder)[0] == 1


def test_outputs_equal_those_of_the_runtime_bit_for_bit(both_ways: NetworkArtifact, folder: Path) -> None:
    x = random_input(11, 2, 1, numbers(both_ways))
    assert set(np.unique(x)) <= set(range(7)) and len(np.unique(x)) > 3
    x.tofile(folder / "x.bin")
    code, _, err = run(folder, "x.bin", "y.bin")
    assert code == 0, err
    with open_network(both_ways.loaded(), "sim") as network:
        expected, _ = network(x)
    np.testing.assert_array_equal(np.fromfile(folder / "y.bin", np.float32).reshape(11, 2, 7), expected)


@pytest.mark.parametrize("part", ["net.h", "run_network.cu"])
def test_golden(part: str, exported: Path, request: pytest.FixtureRequest) -> None:
    text = (exported / "net.cu").read_text(encoding="utf-8")
    begin, end = text.index("// All layers and what lies between"), text.index("// ---- creation")
    own = (exported / part).read_text(encoding="utf-8") if part.endswith(".h") else text[begin:end]
    path = Path(__file__).parent / "golden" / part
    if request.config.getoption("--update-golden"):
        path.write_text(own, encoding="utf-8")
    assert own == path.read_text(encoding="utf-8"), "review the difference, then run pytest --update-golden"


def test_embedded_weights_pass_too(forward: NetworkArtifact, tmp_path: Path) -> None:
    folder = export(forward, tmp_path / "net", embed=True)
    code, out, err = run(folder)
    assert code == 0, out + err


@pytest.mark.parametrize("network", ["both_ways", "forward"])
def test_the_same_fills_and_launches_in_the_same_order(
    network: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """In one pass over all steps, as the runtime has it."""
    artifact = request.getfixturevalue(network)
    expected = asked_by_python(artifact, monkeypatch)
    assert asked_by_c(artifact, tmp_path / "c") == expected
    assert sum(line.startswith("together") for line in expected) > 8


API = r"""
#include <cstdio>
#include <cstring>
#include <vector>
#include "net.cu"  // not only its header: this test looks inside a model
#define EXPECT(what) if (!(what)) return printf("line %d: %s; %s\n", __LINE__, #what, net_last_message()), 1
"""
FORWARD = (
    API
    + r"""
int main() {
  net_model *a, *b;
  EXPECT(net_create(&a, "net.weights", 0) == net_OK && a->steps_at_once == net_STEPS_PER_LAUNCH);
  EXPECT(net_create(&b, "net.weights", 7) == net_OK && b->steps_at_once == 7);
  std::vector<float> x(12 * 2), ya(12 * 2 * 7), yb(ya);
  for (int i = 0; i < 24; ++i) x[i] = (float)(i % 7);
  EXPECT(net_run(a, x.data(), ya.data(), 12, nullptr) == net_OK);
  EXPECT(net_finish(a, nullptr, nullptr) == net_OK);
  // 7 steps at once, in launches of 3 and 4: 5 steps, then 7, equal 12
  std::vector<float> h(net_state_values(net_STATE_chunk_h)), g(h);
  EXPECT(h.size() == 8);
  EXPECT(net_run(b, x.data(), yb.data(), 5, nullptr) == net_OK);
  EXPECT(net_run(b, x.data() + 10, yb.data() + 70, 7, nullptr) == net_OK);
  EXPECT(b->pending == (2 + 3) * 2);
  EXPECT(memcmp(ya.data(), yb.data(), sizeof(float) * ya.size()) == 0);
  EXPECT(net_get_state(a, net_STATE_chunk_h, h.data(), nullptr) == net_OK);
  EXPECT(net_get_state(b, net_STATE_chunk_h, g.data(), nullptr) == net_OK);
  EXPECT(memcmp(h.data(), g.data(), sizeof(float) * 8) == 0);
  // lengths count from the first step of a run, whatever runs at once: 3 steps here, and 7 there
  const int lengths[] = {12, 4};
  for (net_model* m : {a, b}) {
    EXPECT(net_finish(m, nullptr, nullptr) == net_OK);
    EXPECT(net_set_state(m, net_STATE_new_h, nullptr, nullptr) == net_OK);
    EXPECT(net_set_state(m, net_STATE_chunk_h, nullptr, nullptr) == net_OK);
    EXPECT(net_set_lengths(m, lengths) == net_OK);
  }
  std::vector<float> yl(ya);
  EXPECT(net_run(a, x.data(), yl.data(), 12, nullptr) == net_OK);
  for (int i = 0; i < 12 * 2 * 7; ++i) EXPECT(yl[i] == (i / 7 % 2 == 1 && i / 14 >= 4 ? 0.0f : ya[i]));
  EXPECT(net_run(b, x.data(), yb.data(), 12, nullptr) == net_OK);
  EXPECT(memcmp(yl.data(), yb.data(), sizeof(float) * yl.size()) == 0);
  for (net_model* m : {a, b}) EXPECT(net_set_lengths(m, nullptr) == net_OK);
  EXPECT(net_set_state(b, net_STATE_new_h, nullptr, nullptr) == net_OK);
  EXPECT(net_set_state(b, net_STATE_chunk_h, nullptr, nullptr) == net_OK);
  EXPECT(net_run(b, x.data(), yb.data(), 7 * net_LAUNCHES, nullptr) == net_BUSY);
  EXPECT(net_finish(b, nullptr, nullptr) == net_OK);
  // a kernel that gave up is named by its layer: the second launch of layer chunk
  EXPECT(net_run(b, x.data(), yb.data(), 7, nullptr) == net_OK);
  const unsigned words[] = {1, 7, 2, 1};
  memcpy(b->status + 4 * 8, words, sizeof words);
  net_failure failure;
  EXPECT(net_finish(b, nullptr, &failure) == net_WAITED_TOO_LONG);
  EXPECT(strcmp(failure.layer, "chunk") == 0 && failure.step == 3 + 2);
  EXPECT(strstr(net_last_message(), "layer chunk: block 7 waited"));
  EXPECT(net_run(b, x.data(), yb.data(), 7, nullptr) == net_STATES_LOST);
  EXPECT(net_set_state(b, net_STATE_new_h, nullptr, nullptr) == net_OK);
  EXPECT(net_run(b, x.data(), yb.data(), 7, nullptr) == net_STATES_LOST);
  EXPECT(net_set_state(b, net_STATE_chunk_h, nullptr, nullptr) == net_OK);
  EXPECT(net_run(b, x.data(), yb.data(), 7, nullptr) == net_OK);
  EXPECT(memcmp(ya.data(), yb.data(), sizeof(float) * 7 * 14) == 0);
  net_destroy(a);
  net_destroy(b);
  return 0;
}
"""
)
REVERSED = (
    API
    + r"""
int main() {
  net_model* m;
  EXPECT(net_create(&m, "net.weights", 7) == net_OK);
  std::vector<float> x(8 * 2), y(8 * 2 * 7);
  EXPECT(net_run(m, x.data(), y.data(), 8, nullptr) == net_TOO_LONG);
  EXPECT(strstr(net_last_message(), "has 8 steps, the model has room for 7"));
  EXPECT(m->pending == 0);
  EXPECT(net_run(m, x.data(), y.data(), 7, nullptr) == net_OK);
  EXPECT(net_finish(m, nullptr, nullptr) == net_OK);
  net_destroy(m);
  return 0;
}
"""
)


@pytest.mark.parametrize(("network", "program"), [("forward", FORWARD), ("both_ways", REVERSED)])
def test_the_c_interface_does_what_its_header_says(
    network: str, program: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    write_folder(tmp_path / "c", source_files(request.getfixturevalue(network), embed=False))
    (tmp_path / "c/api.cu").write_text(program)
    build(tmp_path / "c", "api.cu", program="api")
    code, out, err = run(tmp_path / "c", program="api")
    assert code == 0, out + err


def test_run_allocates_nothing(folder: Path) -> None:
    run(folder, FAKE_CUDA_LOG=folder / "log")
    lines = (folder / "log").read_text().splitlines()
    first_launch = next(i for i, line in enumerate(lines) if line.startswith("launch"))
    assert "allocate" not in lines[first_launch:]


def test_the_example_passes(both_ways: NetworkArtifact, tmp_path: Path) -> None:
    folder = tmp_path / "cubin"
    write_folder(folder, cubin_files(both_ways, embed=False))
    listed = [(part, k.name) for part, own in both_ways.parts.items() for k in own.manifest.kernels]
    listed += [(BETWEEN, "join_columns"), (BETWEEN, "look_up")]
    cases = "".join(
        f'  if (name == "{part or "between"}.cubin {kernel}") '
        f"return sprnn_sim::bind({namespace_of(part)}::{kernel}, arguments);\n"
        for part, kernel in listed
    )
    (folder / "kernels.cpp").write_text(
        f"{kernel_text(whole(both_ways))}\n"
        f"std::function<void()> fake_cuda_bind(const std::string& name, void** arguments) {{\n"
        f"{cases}  abort();\n}}\n"
    )
    build(folder, "kernels.cpp", "example.c", header="cuda.h")
    code, out, err = run(folder)
    assert code == 0, out + err
    assert f"pass: {self_test(both_ways).steps} steps" in out


def test_the_description_names_every_buffer_file_and_kernel(both_ways: NetworkArtifact) -> None:
    files = cubin_files(both_ways, embed=False)
    about = json.loads(files["net.json"])
    assert about["whole_sequence"] is True
    buffers = {b["name"]: b for b in about["buffers"]}
    assert all(b["file"]["path"] in files for b in buffers.values() if "file" in b)
    assert buffers["new.inputs_1"]["most_steps"] == 3
    runs = [step for step in about["program"] if step["do"] == "run"]
    assert [(r["layer"], r["steps_per_launch"]) for r in runs] == [("new", 3), ("chunk", 3), ("work", 4)]
    steps = [s for r in runs for s in r["chunk"]] + [s for s in about["program"] if s["do"] == "launch"]
    launches = [s for s in steps if s["do"] == "launch"]
    assert {s["cubin"] for s in launches} == {c["path"] for c in about["cubins"]} <= files.keys()
    used = {a["buffer"] for s in launches for a in s["arguments"] if a["type"] == "pointer"} - {None}
    assert "call:lengths" in used
    used |= {s["buffer"] for s in steps if s["do"] == "fill"}
    assert used == buffers.keys()
    assert {s["buffer"] for s in about["status"]} == {"new.status", "chunk.status"}
