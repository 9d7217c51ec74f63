"""The file of a network: reproducible, whole or refused, and good for each of its layers alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sprnn_runtime
from small_network import BATCH, SOURCE, compile_small
from sprnn_runtime import ArtifactError, container

import sprnnc
from sprnnc.cell.network_reference import run_network_reference
from sprnnc.cell.network_weights import network_shapes


@pytest.fixture(scope="module")
def path(artifact: sprnnc.NetworkArtifact, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return artifact.save(tmp_path_factory.mktemp("network") / "small.sprnnx")


def test_the_same_inputs_give_the_same_bytes(artifact: sprnnc.NetworkArtifact, path: Path) -> None:
    assert compile_small().to_bytes() == path.read_bytes()
    loaded = sprnnc.load(path)
    assert isinstance(loaded, sprnnc.NetworkArtifact)
    assert loaded.to_bytes() == path.read_bytes()
    assert loaded.network == artifact.network and list(loaded.parts) == ["a", "b", "c", "d"]


def test_what_is_loaded_runs_as_what_was_compiled(
    artifact: sprnnc.NetworkArtifact, path: Path, x: np.ndarray
) -> None:
    wanted = sprnnc.execute(artifact, x, device="sim")
    y, state = sprnn_runtime.load(path, "sim")(x)
    np.testing.assert_array_equal(y, wanted.y)
    assert list(state) == ["a.h", "b.h", "c.h", "d.h", "e.h"]
    for name in state:
        np.testing.assert_array_equal(state[name], wanted.state[name])


def test_a_layer_of_it_is_an_artifact_of_its_own(artifact: sprnnc.NetworkArtifact, tmp_path: Path) -> None:
    part = sprnnc.Artifact.load(artifact.parts["c"].save(tmp_path / "c.sprnnx"))
    x = np.ones((4, BATCH, 12), np.float32)
    assert sprnnc.execute(part, x, device="sim", check=True).error < 1e-6
    again = sprnnc.compile(part.source_text, weights=part.tensors, batch=BATCH, target="sim")
    assert again.model == part.model


def test_a_network_is_not_taken_for_a_layer(path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"E606.*holds a network(.|\n)*sprnnc\.load"):
        sprnnc.Artifact.load(path)


def test_given_weights_have_the_names_of_their_layers(x: np.ndarray, tmp_path: Path) -> None:
    from sprnnc.language.check import check_program
    from sprnnc.language.parse import parse

    network = check_program(parse(SOURCE))
    rng = np.random.default_rng(0)
    shapes = network_shapes(network)
    assert {"a.W", "a.U", "d.W"} <= shapes.keys() and "e.W" not in shapes
    tensors = {n: (0.3 * rng.standard_normal(s)).astype(np.float32) for n, s in shapes.items()}
    np.savez(tmp_path / "w.npz", **tensors)
    artifact = compile_small(weights=tmp_path / "w.npz", random_weights=None)
    own = {i: {n.split(".")[1]: t for n, t in tensors.items() if n.startswith(f"{i}.")} for i in "abcd"}
    wanted, _ = run_network_reference(network, own, x)
    np.testing.assert_array_equal(sprnnc.execute(artifact, x, device="reference").y, wanted)
    with pytest.raises(sprnnc.CompileError, match=r"E303.*'b\.U'"):
        compile_small(weights={n: t for n, t in tensors.items() if n != "b.U"}, random_weights=None)
    tensors["c.U"][0, 0] = np.nan
    tensors["d.U"][0, 0] = np.inf
    with pytest.raises(sprnnc.CompileError, match=r"layer 'c': tensor 'U'(.|\n)*layer 'd': tensor 'U'"):
        compile_small(weights=tensors, random_weights=None)


def test_random_tensors_differ_between_layers(artifact: sprnnc.NetworkArtifact) -> None:
    a, b = (artifact.parts[n].tensors["U"] for n in "ab")
    assert not np.array_equal(a, b)


def test_decisions_are_for_all_layers_or_for_one() -> None:
    artifact = compile_small(schedule={"threads": 32, "blocks": 2, "c.blocks": 1})
    assert {n: p.plan.choices.blocks.value for n, p in artifact.parts.items()} == dict(a=2, b=2, c=1, d=2)
    with pytest.raises(sprnnc.CompileError, match=r"E402.*'e\.blocks' decides for layer 'e'"):
        compile_small(schedule={"e.blocks": 1})
    with pytest.raises(sprnnc.CompileError, match=r"E402.*layer 'a': unknown decision"):
        compile_small(schedule={"blobs": 1})


def test_stages_of_layers_are_dumped_apart(tmp_path: Path) -> None:
    seen: list[str] = []
    compile_small(dump_ir=tmp_path / "ir", progress=seen.append)
    assert {p.name for p in (tmp_path / "ir").iterdir()} >= {"a", "d", "02_check.txt", "12_network.txt"}
    assert "e = layer e on d  # with the weights of d" in (tmp_path / "ir/12_network.txt").read_text()
    assert (tmp_path / "ir/a/09_render.txt").exists() and "a: layout" in seen


def rewritten(path: Path, change: Callable[[dict[str, Any], dict[str, bytes]], None], to: Path) -> Path:
    """The file with well-formed checksums all the same."""
    manifest, members = container.unpack(path.read_bytes(), "")
    change(manifest, members)
    to.write_bytes(container.pack(manifest, members))
    return to


def _steps(**change: Any) -> Callable[[dict[str, Any], dict[str, bytes]], None]:
    def edit(manifest: dict[str, Any], members: dict[str, bytes]) -> None:
        number = change["at"]
        manifest["network"][number] |= {n: v for n, v in change.items() if n != "at"}

    return edit


def _branch(number: int, **change: Any) -> Callable[[dict[str, Any], dict[str, bytes]], None]:
    """Changes the one step of a branch of the fork of a and b."""

    def edit(manifest: dict[str, Any], members: dict[str, bytes]) -> None:
        manifest["network"][1]["branches"][number][0] |= change

    return edit


def _drop(name: str) -> Callable[[dict[str, Any], dict[str, bytes]], None]:
    return lambda manifest, members: members.pop(name) and None


def _buffer(name: str, **change: Any) -> Callable[[dict[str, Any], dict[str, bytes]], None]:
    def edit(manifest: dict[str, Any], members: dict[str, bytes]) -> None:
        next(b for b in manifest["buffers"] if b["name"] == name).update(change)

    return edit


FORGED = {
    "a join beyond its buffer": _steps(at=3, first=7),
    "a join before its buffer": _steps(at=3, first=-1),
    "a join that is no number": _steps(at=3, first=True),
    "a join onto itself": _steps(at=3, source="c.in"),
    "an unknown buffer": _steps(at=3, to="nowhere"),
    "an unknown layer": _steps(at=7, part="z"),
    "a layer on a buffer of another size": _steps(at=7, source="c.in"),
    "a layer that runs twice": _steps(at=7, layer="b"),
    "a layer with another's states": _steps(at=7, states=[["h", "b.h"]]),
    "a layer with states that nobody has": _steps(at=7, states=[["h", "z.h"]]),
    "a layer with a state too many": _steps(at=7, states=[["h", "d.h"], ["c", "a.h"]]),
    "a layer without its state": _steps(at=7, states=[]),
    "an unknown step": _steps(at=7, **{"is": "Shell"}),
    "branches that are none": _steps(at=1, branches=3),
    "a branch that reads what another writes": _branch(1, source="a", part="d"),
    "branches that write the same": _branch(1, to="a"),
    "a layer at once with itself": _branch(1, part="a"),
    "a fork in a branch": _branch(1, **{"is": "Fork"}),
    "a state of another size": _buffer("state:a.h", shape=[BATCH, 7]),
    "a stream of another batch": _buffer("a", shape=["T", BATCH + 1, 6]),
    "a stream that is no stream": _buffer("a", dtype="float64"),
    "no kernel that joins": _drop("join.cu"),
    "no layer": _drop("layers/c.sprnnx"),
    "a layer that is none": lambda manifest, members: members.update({"layers/c.sprnnx": b"x" * 40}),
    "steps that are no list": lambda manifest, members: manifest.update(network=3),
}


@pytest.mark.parametrize("change", FORGED.values(), ids=FORGED.keys())
def test_a_forged_network_is_refused_before_anything_runs(
    path: Path, tmp_path: Path, change: Callable[[dict[str, Any], dict[str, bytes]], None]
) -> None:
    forged = rewritten(path, change, tmp_path / "forged.sprnnx")
    for read in (lambda: sprnn_runtime.load(forged, "sim"), lambda: sprnnc.load(forged)):
        with pytest.raises(ArtifactError) as error:
            read()
        assert error.value.code == "E603"


@pytest.mark.parametrize("member", ["network.json", "plan.json"])
def test_a_network_that_is_not_that_of_its_manifest_is_refused(
    path: Path, tmp_path: Path, member: str
) -> None:
    def edit(manifest: dict[str, Any], members: dict[str, bytes]) -> None:
        data = json.loads(members[member])
        if member == "plan.json":
            data["steps"] = data["steps"][1:]
        else:
            data["layers"][0]["reverse"] = True
            data["layers"] = data["layers"][::-1]
        members[member] = json.dumps(data).encode()

    forged = rewritten(path, edit, tmp_path / "forged.sprnnx")
    with pytest.raises(ArtifactError, match="E603"):
        sprnnc.load(forged)


def test_a_runtime_without_networks_refuses_the_file_in_words(path: Path) -> None:
    from sprnn_runtime.loaded import read

    with pytest.raises(ArtifactError, match=r"E603.*kernel\.cu"):
        read(path.read_bytes(), "small.sprnnx")


def test_any_byte_that_changed_is_found(path: Path, tmp_path: Path) -> None:
    data = bytearray(path.read_bytes())
    rng = np.random.default_rng(0)
    for at in rng.integers(0, len(data), 40):
        data[at] ^= 0x10
        (tmp_path / "x.sprnnx").write_bytes(data)
        with pytest.raises(ArtifactError):
            sprnn_runtime.load(tmp_path / "x.sprnnx", "sim")
        data[at] ^= 0x10


@pytest.fixture(scope="module")
def tagger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = Path(__file__).parents[2] / "examples/models/tagger.sprnn"
    artifact = sprnnc.compile(source, random_weights=1, batch=BATCH, target="sim")
    return artifact.save(tmp_path_factory.mktemp("tagger") / "tagger.sprnnx")


def test_a_number_without_a_row_is_nan_from_there_on(tagger: Path) -> None:
    x = np.array([[[3], [4]], [[5], [500]], [[-1], [6]]], np.float32)
    runs = [sprnnc.execute(tagger, x, device=device) for device in ("reference", "plan", "sim")]
    for run in runs:
        assert np.isnan(run.y).all(axis=2).tolist() == [[True, True], [True, True], [True, True]]
    fine = sprnnc.execute(tagger, x[:1], device="sim")
    np.testing.assert_allclose(fine.y, sprnnc.execute(tagger, x[:1], device="reference").y, atol=1e-5)


def test_the_table_is_part_of_the_file(tagger: Path) -> None:
    artifact = sprnnc.load(tagger)
    assert artifact.tables["words"].shape == (500, 16) and artifact.to_bytes() == tagger.read_bytes()


@pytest.mark.parametrize(
    "change",
    [
        _drop("tables/words.npy"),
        _buffer("table:words", shape=[500, 17]),
        _buffer("table:words", role="scratch"),
        _buffer("word", shape=["T", BATCH, 2]),
        _steps(at=0, source="words"),
    ],
)
def test_a_forged_table_is_refused(
    tagger: Path, tmp_path: Path, change: Callable[[dict[str, Any], dict[str, bytes]], None]
) -> None:
    forged = rewritten(tagger, change, tmp_path / "forged.sprnnx")
    for read in (lambda: sprnn_runtime.load(forged, "sim"), lambda: sprnnc.load(forged)):
        with pytest.raises(ArtifactError) as error:
            read()
        assert error.value.code == "E603"
