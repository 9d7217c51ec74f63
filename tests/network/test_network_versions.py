"""A network that was kept as its version wrote it still runs, here and where the format goes on.

Where ``manifest.VERSION`` is bumped, keep another, with the version in its name:

    sprnnc compile tests/network/kept/pair.sprnn --random-weights 1 --batch 2 -o pair_1_2.sprnnx
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import sprnn_runtime
from sprnn_runtime import container, manifest

KEPT = sorted((Path(__file__).parent / "kept").glob("*.sprnnx"))


def own_tensors(members: dict[str, bytes], layer: str) -> dict[str, np.ndarray]:
    _, inner = container.unpack(members[f"layers/{layer}.sprnnx"], "here")
    return {n: container.array_from_bytes(inner[f"tensors/{n}.npy"], "here").astype(float) for n in "Wa"}


def equations(members: dict[str, bytes], x: np.ndarray) -> np.ndarray:
    """Both layers in float64, from the tensors of the file; the compiler is not asked."""

    def layer(name: str, x: np.ndarray) -> np.ndarray:
        t, h, y = own_tensors(members, name), np.zeros((2, 6)), []
        for step in x:
            h = np.tanh(step @ t["W"].T + t["a"] * h)
            y.append(h)
        return np.array(y)

    low = layer("low", x.astype(float))
    return low + layer("back", low[::-1])[::-1]


def test_there_is_one_of_this_version() -> None:
    assert any(p.stem.endswith("_{}_{}".format(*manifest.VERSION)) for p in KEPT)


@pytest.mark.parametrize("path", KEPT, ids=lambda p: p.stem)
@pytest.mark.parametrize("newer", [False, True])
def test_one_that_was_kept_runs(path: Path, newer: bool, tmp_path: Path) -> None:
    about, members = container.unpack(path.read_bytes(), "here")
    assert path.stem.endswith("_{}_{}".format(*about["version"]))
    assert members["join.sm_90.cubin"].startswith(b"\x7fELF")
    if newer:  # as a later version might write it: with what nobody here knows
        about["version"][1] += 1
        for entry in (about, *about["network"], *about["buffers"]):
            entry["later"] = 1
        path = tmp_path / "newer.sprnnx"
        path.write_bytes(container.pack(about, {**members, "later.bin": b"\0\1"}))
    x = np.random.default_rng(5).standard_normal((9, 2, 6)).astype(np.float32)
    with sprnn_runtime.load(path, "sim") as network:
        y, _ = network(x)
    np.testing.assert_allclose(y, equations(members, x), rtol=0, atol=1e-6)


@pytest.mark.parametrize("path", KEPT, ids=lambda p: p.stem)
def test_the_docs_show_the_layout(path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs/runtime.md").read_text(encoding="utf-8")
    about, members = container.unpack(path.read_bytes(), "here")
    shown = set(re.findall(r"`([^`]+)`", "\n".join(re.findall(r"^\| (.*?) \|", page, re.M))))
    patterns = [re.escape(s).replace("NAME", r"\w+").replace("ARCH", r"sm_\d+") for s in shown]
    assert [m for m in members if not any(re.fullmatch(p, m) for p in patterns)] == []
    assert [f for f in about if f not in shown] == []
