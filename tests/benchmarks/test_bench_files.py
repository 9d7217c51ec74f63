"""Files of the benchmarks: whole or not there, and the C and Python halves of the peers agree."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from benchmarks import atomic
from benchmarks.cases import Case
from benchmarks.cells import CellKind
from benchmarks.first_light import kept_rows, over_floor
from benchmarks.floors import Floors, exchange_bytes
from benchmarks.peers import library
from benchmarks.results_file import ResultsFile, read_rows

PEERS = Path(library.__file__).parent


def test_rows_are_added_and_replaced_by_name(tmp_path):
    path = tmp_path / "deep" / "r.json"
    file = ResultsFile(path)
    file.put({"name": "a", "ratio": 1})
    file.put({"name": "b", "ratio": 2})
    ResultsFile(path).put({"name": "a", "ratio": 3})
    assert read_rows(path) == [{"name": "a", "ratio": 3}, {"name": "b", "ratio": 2}]
    assert len(path.read_text().splitlines()) == 4  # a row a line


def test_a_crash_while_writing_loses_nothing(tmp_path, monkeypatch):
    path = tmp_path / "r.json"
    file = ResultsFile(path)
    file.put({"name": "a"})

    def crash(source: str, target: str) -> None:
        raise OSError("power is out")

    monkeypatch.setattr(os, "replace", crash)
    with pytest.raises(OSError, match="power"):
        file.put({"name": "b"})
    assert json.loads(path.read_text()) == [{"name": "a"}]
    assert list(tmp_path.iterdir()) == [path]


def test_a_row_that_is_no_json_is_not_written(tmp_path):
    file = ResultsFile(tmp_path / "r.json")
    with pytest.raises(ValueError):
        file.put({"name": "a", "ratio": float("nan")})
    assert not (tmp_path / "r.json").exists()


def test_text_is_replaced_in_one_step(tmp_path):
    atomic.write_text(tmp_path / "t", "old")
    atomic.write_text(tmp_path / "t", "new")
    assert (tmp_path / "t").read_text() == "new"
    assert len(list(tmp_path.iterdir())) == 1


FLOOR_TABLE = """\
NVIDIA H200, 132 SMs, L2 60 MB
us a step, KB:                                     4       8
poll      if 1 blk 128 pol 1024 wait   0 back   0 cl 1   0.800   1.000
poll      if 2 blk 128 pol 1024 wait   0 back   0 cl 1   0.600   1.100
bulk      if 0 blk 128 pol  128 wait   0 back   0 cl 1 refused   0.500  FAILED
canary    if 2 blk 128 pol 1024 wait   0 back   0 cl 1 refused   1.200
"""


def test_floors_are_the_best_of_what_was_right_and_lie_between_sizes(tmp_path):
    (tmp_path / "floor.txt").write_text(FLOOR_TABLE)
    floors = Floors.read(tmp_path / "floor.txt")
    assert floors.of(Case(CellKind.RNN, 512, 4, 0.1)) == pytest.approx(0.6)
    assert floors.of(Case(CellKind.RNN, 768, 4, 0.1)) == pytest.approx(0.8)
    assert floors.of(Case(CellKind.RNN, 512, 4, 0.1, dtype="fp32")) == pytest.approx(1.0)
    assert floors.of(Case(CellKind.RNN, 8192, 4, 0.1)) is None
    (tmp_path / "floor.json").write_text('[{"bytes": 4096, "us": 0.7}]')
    assert Floors.read(tmp_path / "floor.json").of(Case(CellKind.RNN, 512, 4, 0.1)) == 0.7


def test_a_floor_belongs_to_the_bytes_of_an_exchange(tmp_path):
    (tmp_path / "floor.txt").write_text(FLOOR_TABLE)
    floors = Floors.read(tmp_path / "floor.txt")
    assert [exchange_bytes(1024, 4, dtype) for dtype in ("fp16", "bf16", "fp32")] == [8192, 8192, 16384]
    assert floors.at(exchange_bytes(1024, 4, "fp16")) == pytest.approx(1.0)
    assert floors.at(exchange_bytes(1024, 1, "fp16")) is None  # smaller than what was measured
    assert over_floor(1.5, 1.0) == {"floor_us": 1.0, "over_floor": 1.5}
    assert over_floor(1.5, None) == {"floor_us": None, "over_floor": None}


def test_a_network_goes_on_with_the_rows_of_its_commit_that_have_a_floor(tmp_path):
    path = tmp_path / "r.json"
    assert kept_rows(path, "abc") == []
    whole, lacking = {"B": 1, "over_floor": 1.1}, {"B": 4, "over_floor": None}
    path.write_text(json.dumps({"commit": "abc", "rows": [whole, lacking, {"B": 2}]}))
    assert kept_rows(path, "abc") == [whole]
    assert kept_rows(path, "def") == []


def test_a_file_that_holds_no_floors_says_so(tmp_path):
    (tmp_path / "floor.txt").write_text("nothing\n")
    with pytest.raises(ValueError, match="us a step"):
        Floors.read(tmp_path / "floor.txt")


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
def test_structures_are_those_of_the_header(tmp_path):
    pairs = {
        "PeerProblem": library._Problem,
        "PeerTiming": library._Timing,
        "PeerResult": library._Result,
    }
    lines = []
    for name, structure in pairs.items():
        lines.append(f'std::printf("%zu\\n", sizeof({name}));')
        lines += [f'std::printf("%zu\\n", offsetof({name}, {field}));' for field, _ in structure._fields_]
    program = '#include <cstddef>\n#include <cstdio>\n#include "peers.h"\nint main() {' + "".join(lines) + "}"
    (tmp_path / "offsets.cpp").write_text(program)
    command = ["g++", "-I", str(PEERS), str(tmp_path / "offsets.cpp"), "-o", str(tmp_path / "offsets")]
    subprocess.run(command, check=True)
    printed = subprocess.run([tmp_path / "offsets"], check=True, capture_output=True, text=True).stdout
    expected = []
    for structure in pairs.values():
        expected.append(ctypes.sizeof(structure))
        expected += [getattr(structure, field).offset for field, _ in structure._fields_]
    assert [int(line) for line in printed.split()] == expected
