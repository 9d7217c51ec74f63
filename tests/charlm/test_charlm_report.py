"""Tables and plots of made-up results."""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from results_of_a_gpu import made_up

from examples.charlm import report
from examples.charlm.report_tables import best_time, markdown

RESULTS = Path(report.__file__).parent / "results"


def test_every_file_is_written_the_same_each_time(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(made_up()))
    names = ["charlm.md", "charlm_density.svg", "charlm_tradeoff.svg"]
    report.main([str(tmp_path / "a.json")])
    first = [(tmp_path / name).read_bytes() for name in names]
    report.main([str(tmp_path / "a.json")])
    assert [(tmp_path / name).read_bytes() for name in names] == first
    assert "microseconds a step" in (tmp_path / names[2]).read_text()


def test_tables_say_what_was_measured() -> None:
    text = markdown(made_up(), [])
    assert "| pruned to 10%, H=1024 | 791,303 | 1.4100 | +0.7% |" in text
    assert "| dense, H=408, as many non-zeros | 791,400 | 1.5000 | +7.1% |" in text
    assert "| pruned to 10%, H=1024 | 1.00, 2.50x (sprnnc) | 4.00, 2.50x (sprnnc) |" in text
    assert "| pruned to 5%, H=1024 | fp16, B=1 | 1.4500 | 1.4500 | 3.0e-04 (cuda) |" in text


def test_the_fastest_peer_counts_and_tf32_among_fp32() -> None:
    rows = [
        {"system": "torch.nn", "batch": 1, "dtype": "fp32", "median_us": 5.0},
        {"system": "torch.nn", "batch": 1, "dtype": "tf32", "median_us": 4.0},
        {"system": "torch.nn", "batch": 1, "dtype": "fp16", "median_us": 3.0},
        {"system": "cudnn", "batch": 1, "dtype": "fp32", "all": {"cudnn standard fp32": "refused"}},
    ]
    assert best_time({"times": rows}, 1, "fp32") == (4.0, "torch.nn")
    assert best_time({"times": rows}, 4, "fp32") is None


def test_what_was_not_reached_is_left_out_or_said() -> None:
    results = made_up()
    results["models"]["dense-equal"] = {"skipped": "no time left"}
    results["models"]["pruned-0.05"]["complete"] = False
    results["models"]["pruned-0.1"]["kernels"][0] = {"batch": 1, "dtype": "fp16", "failure": "not compiled"}
    text = markdown(results, [])
    assert "H=408" not in text
    assert "pruned to 5%, H=1024 (cut short)" in text
    assert "fp16, B=1 | not compiled |" in text


def test_the_committed_tables_are_those_of_committed_results() -> None:
    written = (RESULTS / "charlm.md").read_text("utf-8")
    images = ["charlm_density.svg", "charlm_tradeoff.svg"]
    pages = [markdown(json.loads(file.read_text("utf-8")), images) for file in RESULTS.glob("*.json")]
    assert written in pages
    for image in images:
        assert (RESULTS / image).read_text("utf-8").startswith("<?xml")
