"""The examples: complete, cited, and covering what the language can say."""

from __future__ import annotations

from pathlib import Path

import pytest

from sprnnc.cell.ir import Model
from sprnnc.cell.printer import print_model
from sprnnc.language.check import check
from sprnnc.language.parse import parse

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.sprnn"))
NAMES = {
    "elman_tanh", "elman_relu", "lstm", "peephole_lstm", "lstm_projection",
    "gru_reset_before", "gru_reset_after", "slstm", "gated_oscillator",
}  # fmt: skip


def load(path: Path) -> Model:
    source = path.read_text()
    return check(parse(source, str(path)), source=source, filename=str(path))


def test_all_examples_are_here() -> None:
    assert {p.stem for p in EXAMPLES} == NAMES


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_example_is_named_cited_and_sparse(path: Path) -> None:
    model = load(path)
    assert model.name == path.stem
    comments = [line for line in path.read_text().splitlines() if line.startswith("#")]
    assert any(year in " ".join(comments) for year in map(str, range(1990, 2025)))
    assert any(w.pattern.describe() != "dense" for w in model.cell.weights)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_printed_example_is_the_same_program(path: Path) -> None:
    model = load(path)
    assert check(parse(print_model(model))) == model


def test_examples_use_most_patterns() -> None:
    described = {w.pattern.describe() for path in EXAMPLES for w in load(path).cell.weights}
    text = " ".join(sorted(described))
    for pattern in ("sparse(", "blocks(", "block_diagonal(", "n_of_m(", "balanced(", "+ diagonal", "dense"):
        assert pattern in text
