"""Takes the LSTM out of silero-vad, a voice detector on PyPI, prunes it, and lets both hear a recording.

    pip install --no-deps silero-vad==6.2.3 pyannote-audio==4.0.7   # the model, and 30 s of speech
    pip install onnxruntime 'sprnnc[import]'
    python examples/silero.py -o silero

onnxruntime runs the model as it is and shows what goes into its LSTM and what comes out. The LSTM is
imported, compiled and run on the same; the rest of the model, cut off behind it, makes of its output the
probability of speech in every 32 ms. Printed for each density of the recurrent matrices: the error of the
LSTM's output against onnxruntime's, the largest change of a probability, and how many frames are called
speech or not as before. With --page, the table in docs/silero.md is written again.
"""

from __future__ import annotations

import argparse
import shutil
import wave
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

import sprnnc
from sprnnc.importing import import_file
from sprnnc.pruning import Layer, Request, make_layer, pattern_from_text, prune_layers

Floats = NDArray[np.float32]
MODEL, STREAMING = "silero_vad_16k_sequence.onnx", "silero_vad.onnx"
RECORDING = "sample.wav"
FRAME, CONTEXT, RATE = 512, 64, 16000  # samples of a frame and of the one before it, samples a second
SPEECH = 0.5  # a frame is speech from this probability on
DENSITIES = (1.0, 0.7, 0.5, 0.3, 0.2, 0.1)


def find(package: str, name: str) -> Path:
    """A file that a package ships, without importing the package."""
    for file in metadata.files(package) or ():
        if file.name == name:
            return Path(str(file.locate()))
    raise FileNotFoundError(f"{package} {metadata.version(package)} ships no {name}")


def read_frames(recording: Path) -> Floats:
    """Frames of a 16-bit mono recording at 16 kHz, each behind the end of the one before, [T, 64 + 512]."""
    with wave.open(str(recording)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, RATE)
        sound = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32768
    frames = np.resize(sound, (len(sound) // FRAME, FRAME))
    before = np.concatenate([np.zeros((1, CONTEXT), np.float32), frames[:-1, -CONTEXT:]])
    return np.concatenate([before, frames], axis=1)


@dataclass(frozen=True, slots=True)
class Heard:
    """What onnxruntime says: the LSTM's input and output [T, 1, 128], and probabilities [T]."""

    x: Floats
    y: Floats
    probability: Floats


class Detector:
    """The model, opened at its LSTM."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.model = onnx.load(path)
        (self.node,) = (node for node in self.model.graph.node if node.op_type == "LSTM")
        self._behind = self._session_behind()

    def listen(self, frames: Floats) -> Heard:
        """The whole model over all frames."""
        opened = onnx.ModelProto()
        opened.CopyFrom(self.model)
        inside = (self.node.input[0], self.node.output[0])
        opened.graph.output.extend(_value(name) for name in inside)
        state = np.zeros((1, 1, 128), np.float32)
        session = _session(opened)
        x, y, p = session.run([*inside, "speech_probs"], {"input": frames, "h": state, "c": state})
        return Heard(x, y[:, 0], p.reshape(-1))

    def probability(self, y: Floats) -> Floats:
        """What the rest of the model makes of an LSTM's output [T, 1, 128]."""
        (p,) = self._behind.run(None, {self.node.output[0]: y[:, None].astype(np.float32)})
        return np.asarray(p).reshape(-1)

    def _session_behind(self) -> Any:
        """The nodes that need the LSTM's output, and constants."""
        needed, nodes = {self.node.output[0]}, []
        for node in self.model.graph.node:
            behind = node is not self.node and bool(needed & set(node.input))
            if behind or node.op_type == "Constant":
                nodes.append(node)
            if behind:
                needed |= set(node.output)
        given, wanted = [_value(self.node.output[0])], [_value("speech_probs")]
        graph = onnx.helper.make_graph(nodes, "behind", given, wanted, self.model.graph.initializer)
        rest = onnx.helper.make_model(graph, opset_imports=self.model.opset_import)
        rest.ir_version = self.model.ir_version
        return _session(rest)


def _session(model: Any) -> Any:
    """The model in onnxruntime, which keeps to itself that the rest leaves most of the tensors unused."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options)


def _value(name: str) -> Any:
    return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)


@dataclass(frozen=True, slots=True)
class Row:
    """A density of the recurrent matrices, and what it changes."""

    density: float
    error: float
    moved: float
    same: float

    def __str__(self) -> str:
        return f"| {self.density:g} | {self.error:.1e} | {self.moved:.1e} | {self.same:.2%} |"


HEAD = """\
| density | error of the LSTM | largest change of a probability | frames called the same |
| --- | --- | --- | --- |"""


def measure(detector: Detector, heard: Heard, layer: Layer, density: float, device: str, target: str) -> Row:
    """One density: pruned, compiled, run, and heard by the rest of the model."""
    request = Request(pattern_from_text(f"sparse({density:g})"))
    pruned = layer if density == 1 else prune_layers([layer], request)[0]
    artifact = sprnnc.compile(pruned.text, weights=pruned.tensors, target=target)
    y = sprnnc.execute(artifact, heard.x, device=device).y
    p = detector.probability(y)
    return Row(
        density=density,
        error=float(np.linalg.norm(y - heard.y) / np.linalg.norm(heard.y)),
        moved=float(np.abs(p - heard.probability).max()),
        same=float(((p >= SPEECH) == (heard.probability >= SPEECH)).mean()),
    )


def write(folder: Path, heard: Heard) -> None:
    """The models of the package, and what goes into their LSTM: for ``sprnnc import`` and ``compare``."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in (MODEL, STREAMING):
        shutil.copyfile(find("silero-vad", name), folder / name)
    np.save(folder / "x.npy", heard.x)


def replace_table(page: Path, table: str) -> None:
    """Puts ``table`` where the one with the same head is."""
    text = page.read_text(encoding="utf-8")
    begin = text.index(HEAD)
    end = text.find("\n\n", begin)
    page.write_text(text[:begin] + table + text[end:], encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help="write models and the LSTM's input")
    parser.add_argument("--page", type=Path, metavar="PAGE.md", help="replace the table in this page")
    parser.add_argument("--device", default="sim", help="as sprnnc run (default: sim)")
    parser.add_argument("--target", default="sim")
    given = parser.parse_args()
    detector = Detector(find("silero-vad", MODEL))
    heard = detector.listen(read_frames(find("pyannote-audio", RECORDING)))
    (imported,) = import_file(detector.path)
    if given.output:
        write(given.output, heard)
    layer = make_layer(imported.source, imported.tensors)
    rows = [measure(detector, heard, layer, d, given.device, given.target) for d in DENSITIES]
    table = "\n".join([HEAD, *map(str, rows)])
    print(table)
    if given.page:
        replace_table(given.page, table)


if __name__ == "__main__":
    main()
