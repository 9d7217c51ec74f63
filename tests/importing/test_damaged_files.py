"""Whatever the bytes of a file are, importing it ends in layers or in an error for users."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from pytorch_state import random_state
from safetensors.numpy import save
from test_onnx import model_of, parameters
from test_onnx_graph import moved_weights

from sprnnc.diagnostics import CompileError
from sprnnc.importing import import_file

FILES = {
    "m.safetensors": save(random_state("LSTM", 3, 4)),
    "m.onnx": model_of("GRU", parameters("GRU", 1)).SerializeToString(),
    "moved.onnx": moved_weights().SerializeToString(),
}
HEADER_BYTES = 400  # where damage does the most


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # numbers out of range, which are refused afterwards
@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("name", FILES)
def test_damage_never_gets_past_as_a_crash(name: str, seed: int, tmp_path: Path) -> None:
    draw = random.Random(seed)
    refused = 0
    for _ in range(40):
        data = bytearray(FILES[name])
        for _ in range(draw.randint(1, 4)):
            data[draw.randrange(min(HEADER_BYTES, len(data)))] = draw.randrange(256)
        if draw.random() < 0.2:
            del data[draw.randrange(len(data)) :]
        (tmp_path / name).write_bytes(data)
        try:
            import_file(tmp_path / name)
        except CompileError:
            refused += 1
    assert refused  # or nothing was damaged
