"""The text: split by file, the same everywhere, and back from symbols."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from examples.charlm.corpus import ALPHABET, decode, encode, is_held_out, read_corpus


def library(folder: Path, count: int) -> Path:
    """Python files, some of them in a folder of tests."""
    for i in range(count):
        (folder / f"module_{i}.py").write_text(f"# only here: {i}\n" + "value = 1\n" * 150)
    (folder / "test").mkdir()
    (folder / "test" / "test_module.py").write_text("never read\n" * 1000)
    return folder


def test_symbols_come_back_as_text() -> None:
    text = "def f(x):\n    return '{}~' # %"
    assert decode(encode(text)) == text
    assert decode(encode("\té")) == "    ?"
    assert encode(ALPHABET).tolist() == list(range(len(ALPHABET)))


def test_no_file_is_in_both_parts(tmp_path: Path) -> None:
    corpus = read_corpus(library(tmp_path, 200))
    training, heldout = decode(corpus.training), decode(corpus.heldout)
    for i in range(200):
        mark = f"# only here: {i}\n"
        assert (mark in heldout) == is_held_out(f"module_{i}.py")
        assert (mark in training) != (mark in heldout)
    assert "never read" not in training + heldout
    assert (corpus.files, corpus.heldout_files) == (200, heldout.count("# only here"))
    np.testing.assert_array_equal(read_corpus(tmp_path).training, corpus.training)


def test_too_little_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="too little Python source"):
        read_corpus(library(tmp_path, 5))


def test_the_standard_library_is_enough() -> None:
    assert len(read_corpus().training) > 5_000_000
