"""The model in NumPy, the files that are committed, and what the demo does with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import sprnnc
from examples.charlm import demo
from examples.charlm.corpus import ALPHABET, encode
from examples.charlm.model import GATES, CharModel, columns
from examples.charlm.sparse_file import read_sparse, write_sparse
from sprnnc.diagnostics import CompileError

HIDDEN = 16


def random_model() -> CharModel:
    rng = np.random.default_rng(0)

    def draw(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32)

    recurrent = draw(4, HIDDEN, HIDDEN) * (rng.random((4, HIDDEN, HIDDEN)) < 0.25)
    symbols = len(ALPHABET)
    return CharModel(
        recurrent, draw(symbols, 4 * HIDDEN), draw(symbols, HIDDEN), draw(symbols), {"hidden": HIDDEN}
    )


def test_files_come_back_and_compile(tmp_path: Path) -> None:
    model = random_model()
    model.save(tmp_path)
    again = CharModel.load(tmp_path)
    np.testing.assert_array_equal(again.recurrent, model.recurrent)
    np.testing.assert_array_equal(again.table, model.table)
    artifact = sprnnc.compile(
        tmp_path / "charlm.sprnn", weights=tmp_path / "charlm.safetensors", target="sim", batch=2
    )
    declared = {w.name: w.pattern.describe() for w in artifact.model.cell.weights}
    assert declared == {f"U{g}": f"sparse({d:.4g})" for g, d in model.densities.items()}
    x = model.inputs(columns(encode("import os\nprint"), 2))
    assert sprnnc.execute(artifact, x, device="plan", check=True).error < 1e-6


def test_a_model_with_other_sizes_is_refused(tmp_path: Path) -> None:
    model = random_model()
    model.about["hidden"] = HIDDEN + 1
    model.save(tmp_path)
    with pytest.raises(CompileError, match="E305"):
        CharModel.load(tmp_path)


def test_bits_are_those_of_a_softmax() -> None:
    model = random_model()
    y = np.random.default_rng(1).standard_normal((3, 2, HIDDEN)).astype(np.float32)
    probabilities = np.exp2(model.log2_probabilities(y))
    np.testing.assert_allclose(probabilities.sum(axis=-1), 1, rtol=1e-12)
    logits = model.output @ y[2, 1] + model.output_bias
    following = np.array([[1, 2], [3, 4], [5, 6]], np.uint8)
    expected = -np.log2(np.exp(logits[6]) / np.exp(logits).sum())
    assert model.bits(y, following)[2, 1] == pytest.approx(expected, rel=1e-5)


def test_columns_are_the_text_cut_in_pieces() -> None:
    assert columns(np.arange(7, dtype=np.uint8), 2).tolist() == [[0, 3], [1, 4], [2, 5]]
    assert columns(np.arange(7, dtype=np.uint8), 2, 1).tolist() == [[0, 3]]


def test_the_committed_model_is_small_and_pruned() -> None:
    assert sum(f.stat().st_size for f in demo.MODEL.iterdir()) <= 4 << 20
    model = CharModel.load(demo.MODEL)
    assert np.mean(model.recurrent != 0) == pytest.approx(model.about["density"], rel=0.01)
    assert set(model.densities) == set(GATES)


def test_bars_stand_below_their_characters() -> None:
    bits = np.array([0, 8.4, 1, 0, 2.5])
    assert demo.shaded(encode("ab\ncd"), bits) == ["ab", " █", "cd", " ▂"]


@pytest.mark.parametrize("arguments", [["--prompt", ""], ["--characters", "0"], ["--temperature", "0"]])
def test_what_cannot_be_is_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit):
        demo.parse_arguments(arguments)


def test_a_kernel_that_is_wrong_ends_the_demo(
    model_of_the_demo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "relative_error", lambda got, expected: 1e-3)
    with pytest.raises(SystemExit, match="the result is wrong"):
        demo.main(["--characters", "1"])


def test_small_files_hold_the_non_zeros_and_nothing_else(tmp_path: Path) -> None:
    model = random_model()
    model.save(tmp_path, small=True)
    again = CharModel.load(tmp_path)
    np.testing.assert_array_equal(again.recurrent, model.recurrent.astype(np.float16))
    np.testing.assert_array_equal(again.table, model.table.astype(np.float16))
    assert not (tmp_path / "charlm.safetensors").exists()


@pytest.mark.parametrize("kept", [[], [0], [2047], [4095], [1, 4000], list(range(4096))])
def test_gaps_of_any_length_come_back(kept: list[int], tmp_path: Path) -> None:
    matrix = np.zeros(4096, np.float32)
    matrix[kept] = 1.5
    write_sparse(tmp_path / "m.safetensors", {"U": matrix.reshape(64, 64)})
    again = read_sparse(tmp_path / "m.safetensors", {"U": (64, 64)})
    np.testing.assert_array_equal(again["U"].ravel(), matrix)


def test_a_sparse_file_of_another_size_is_an_error(tmp_path: Path) -> None:
    write_sparse(tmp_path / "m.safetensors", {"U": np.ones((4, 4), np.float32)})
    for shapes in ({"U": (3, 3)}, {"V": (4, 4)}):
        with pytest.raises(CompileError, match="holds no matrix"):
            read_sparse(tmp_path / "m.safetensors", shapes)
