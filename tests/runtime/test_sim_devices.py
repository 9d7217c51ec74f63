"""An artifact for several devices: what it says, where it runs, and where it is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sprnn_runtime
from sprnn_runtime import container
from sprnn_runtime.errors import ArtifactError, Unavailable
from sprnn_runtime.manifest import Manifest
from sprnn_runtime.sim_devices import SimDevices

import sprnnc
from sprnnc.cli.main import main

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def artifact() -> sprnnc.Artifact:
    return sprnnc.compile(
        EXAMPLES / "lstm.sprnn", random_weights=1, batch=2, target="sim", schedule={"devices": 2}
    )


@pytest.fixture
def path(artifact: sprnnc.Artifact, tmp_path: Path) -> Path:
    return artifact.save(tmp_path / "lstm.sprnnx")


def test_the_manifest_names_devices_shares_and_copies(artifact: sprnnc.Artifact) -> None:
    manifest = artifact.manifest
    assert manifest.devices == 2
    assert {b.name for b in manifest.buffers if b.split} == {"slots_1", "used_1", "units_H"}
    args = manifest.kernels[-1].args
    assert args[-4:] == ("exchange_1@0", "exchange_1@1", "status@0", "status@1")
    assert {"exchange_1", "status", "y@0", "state_h@0", "state_c@0"} <= set(args)
    assert manifest.kernels[-1].grid == artifact.plan.choices.blocks.value


def test_a_file_runs_on_sim_without_the_compiler(artifact: sprnnc.Artifact, path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((9, 2, 16)).astype(np.float32)
    expected = sprnnc.execute(artifact, x, device="reference")
    with sprnn_runtime.load(path, "sim", seed=3) as layer:
        first, state = layer(x[:4])
        second, after = layer(x[4:], state)
    np.testing.assert_allclose(np.concatenate([first, second]), expected.y, atol=1e-5)
    np.testing.assert_allclose(after["c"], expected.state["c"], atol=1e-5)


def test_every_device_has_its_share_of_the_weights_and_no_more(artifact: sprnnc.Artifact) -> None:
    loaded = artifact.loaded()
    device = SimDevices(loaded.source, loaded.manifest)
    slots = loaded.constants["slots_1"]
    dealt = device.deal(slots)
    assert [own.nbytes for own in dealt] == [slots.nbytes // 2] * 2
    np.testing.assert_array_equal(np.concatenate([own.view(np.uint32) for own in dealt]), slots.ravel())
    assert not np.shares_memory(*dealt)


def test_gpus_are_refused_and_auto_takes_sim(path: Path) -> None:
    with pytest.raises(Unavailable, match=r"E624.*2 devices at once, which run on device sim only"):
        sprnn_runtime.load(path, "cuda")
    with sprnn_runtime.load(path, "auto") as layer:
        assert layer.device_name == "sim"


def arguments(change: Any) -> Any:
    return lambda m: m["kernels"][-1].update(args=[change(a) for a in m["kernels"][-1]["args"]])


FORGED = {
    "a device too many": arguments(lambda a: a.replace("@1", "@2")),
    "no number": arguments(lambda a: a.replace("@1", "@one")),
    "rows that do not divide": lambda m: m.update(devices=3),
    "no device": lambda m: m.update(devices=0),
    "more than there can be": lambda m: m.update(devices=1 << 20),
    "true is no number": lambda m: m.update(devices=True),
    "nothing to name others by": lambda m: m.update(devices=1),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_manifest_is_refused(artifact: sprnnc.Artifact, name: str) -> None:
    manifest, _ = container.unpack(artifact.to_bytes(), "here")
    assert Manifest.from_json(manifest) == artifact.manifest
    FORGED[name](manifest)
    with pytest.raises(ArtifactError, match="E603"):
        Manifest.from_json(manifest)


def test_the_command_line_takes_devices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    lstm = str(EXAMPLES / "lstm.sprnn")
    compiled = ["compile", lstm, "--random-weights", "1", "--set", "devices=2"]
    assert main([*compiled, "--target", "sim", "-o", "sim.sprnnx"]) == 0
    assert main("run sim.sprnnx --device sim --check".split()) == 0
    assert main([*compiled, "-o", "gpu.sprnnx"]) == 0
    capsys.readouterr()
    for form in ("cu", "lib", "cubin"):
        assert main(["export", "gpu.sprnnx", "-o", "exported", "--form", form]) == 1
        assert "E511" in capsys.readouterr().err
    assert not Path("exported").exists()


def test_a_layer_of_a_network_has_one_device() -> None:
    source = EXAMPLES / "models/residual.sprnn"
    with pytest.raises(sprnnc.CompileError, match=r"E404.*devices = 2 in a network cannot be"):
        sprnnc.compile(source, random_weights=1, target="sim", schedule={"devices": 2})


def test_streams_and_lengths_are_those_of_one_device(artifact: sprnnc.Artifact, path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((6, 2, 16)).astype(np.float32)
    one = sprnnc.compile(EXAMPLES / "lstm.sprnn", random_weights=1, batch=2, target="sim").loaded()
    with sprnn_runtime.load(path, "sim") as two, sprnn_runtime.layer.open_layer(one, "sim") as single:
        y, state = two(x, lengths=[6, 2])
        expected, after = single(x, lengths=[6, 2])
        np.testing.assert_allclose(y, expected, atol=1e-6)
        np.testing.assert_allclose(state["h"], after["h"], atol=1e-6)
        whole, after = two(x)
        stream = two.stream()
        np.testing.assert_array_equal(
            np.concatenate([stream(part) for part in (x[:1], x[1:5], x[5:])]), whole
        )
        np.testing.assert_array_equal(stream.state["c"], after["c"])
