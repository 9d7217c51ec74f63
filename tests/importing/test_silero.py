"""A voice detector that a PyPI package ships, on speech that another one ships, beside onnxruntime."""

from __future__ import annotations

import importlib.util
import re
import shlex
import shutil
import sys
from glob import glob
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from benchmarks import density_plot
from sprnnc.cli.main import main
from sprnnc.diagnostics import CompileError
from sprnnc.importing import import_file
from sprnnc.pruning import Layer, make_layer

pytest.importorskip("onnxruntime")
ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/silero.md").read_text(encoding="utf-8")
for package in ("silero-vad", "pyannote-audio"):
    try:
        wanted = re.search(rf"{package}==(\S+)", PAGE)[1]
        if metadata.version(package) != wanted:
            pytest.skip(f"{package} {wanted} is not installed", allow_module_level=True)
    except metadata.PackageNotFoundError:
        pytest.skip(f"{package} is not installed", allow_module_level=True)


@pytest.fixture(scope="module")
def example() -> ModuleType:
    """The script, as a module."""
    spec = importlib.util.spec_from_file_location("silero_example", ROOT / "examples/silero.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def opened(example: ModuleType) -> tuple[Any, Any, Layer]:
    """The detector, what it hears in the recording, and its imported LSTM."""
    detector = example.Detector(example.find("silero-vad", example.MODEL))
    heard = detector.listen(example.read_frames(example.find("pyannote-audio", example.RECORDING)))
    (imported,) = import_file(detector.path)
    return detector, heard, make_layer(imported.source, imported.tensors)


def test_the_recording_is_speech_with_pauses(opened: Any) -> None:
    _, heard, _ = opened
    assert heard.x.shape == (937, 1, 128)
    assert 0.5 < (heard.probability > 0.5).mean() < 0.95


def test_the_kernel_hears_what_onnxruntime_hears(example: ModuleType, opened: Any) -> None:
    detector, heard, layer = opened
    np.testing.assert_array_equal(detector.probability(heard.y), heard.probability)  # cut in the right place
    row = example.measure(detector, heard, layer, 1.0, "sim", "sim")
    assert row.error < 2e-6 and row.moved < 1e-5 and row.same == 1


def test_the_page_shows_what_the_script_measures(example: ModuleType, opened: Any) -> None:
    detector, heard, layer = opened
    shown = {
        float(d): (e, m, s) for d, e, m, s in re.findall(r"\| (\S+) \| (\S+) \| (\S+) \| (\S+)% \|", PAGE)
    }
    assert list(shown) == list(example.DENSITIES)
    for density in (0.5, 0.3):
        row = example.measure(detector, heard, layer, density, "reference", "sim")
        error, moved, same = map(float, shown[density])
        assert (row.error, row.moved) == (pytest.approx(error, rel=0.06), pytest.approx(moved, rel=0.06))
        assert 100 * row.same == pytest.approx(same, abs=0.11)  # a frame, and rounding of what is shown


def test_the_streaming_model_holds_the_same_lstm_in_its_branches(example: ModuleType, opened: Any) -> None:
    _, _, layer = opened
    path = example.find("silero-vad", example.STREAMING)
    assert len(import_file(path)) == 4
    (inside,) = import_file(path, only=["If_0_then*/rnn/LSTM"])
    for name, tensor in layer.tensors.items():
        np.testing.assert_array_equal(inside.tensors[name], tensor)
    with pytest.raises(
        CompileError, match=r"E708(.|\n)*there are If_0_else_branch__Inline_0__/decoder/rnn/LSTM"
    ):
        import_file(path, only=["LSTM"])
    with pytest.raises(CompileError, match=r"E701(.|\n)*holds no recurrent node"):
        import_file(example.find("silero-vad", "silero_vad_op18_ifless.onnx"))


def test_commands_of_the_page_run(
    example: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "docs", "docs")
    lines = "".join(re.findall(r"^```sh\n(.*?)^```", PAGE, re.M | re.S)).splitlines()
    assert len(lines) == 9
    for line in lines:
        program, *words = shlex.split(line)
        arguments = [
            a for word in words for a in (sorted(glob(word)) if word.endswith("*.sprnn") else [word])
        ]
        if arguments[:2] == ["-m", "benchmarks.density_plot"]:
            density_plot.main(arguments[2:])
        elif program == "python":
            monkeypatch.setattr(example, "DENSITIES", (1.0,))
            monkeypatch.setattr(sys, "argv", [*arguments, "--page", "docs/silero.md"])
            example.main()
        else:
            assert program == "sprnnc" and main(arguments) == 0, (line, capsys.readouterr().err)
    assert "937 steps of silero/x.npy" in capsys.readouterr().out
    assert Path("silero.html").exists()
    drawn, kept = (Path(p).read_text() for p in ("density.svg", "docs/silero_density.svg"))
    numbers = re.compile(r">([\d.]+\.\d%)<")
    assert numbers.findall(drawn) == numbers.findall(kept) and len(numbers.findall(kept)) == 8
    written = Path("docs/silero.md").read_text(encoding="utf-8")
    assert len(re.findall(r"^\| [\d.]+ \|", written, re.M)) == 1 and written.count("\n## ") == 1
