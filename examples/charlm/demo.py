"""Compiles the pruned language model of this folder, runs its kernel on this machine, and lets it write.

    python -m examples.charlm.demo [--prompt "def main("] [--characters 160] [--temperature 0.5]

Needs no GPU: without one the generated CUDA C runs on the CPU.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sprnn_runtime import Layer
from sprnn_runtime.errors import SprnnError
from sprnn_runtime.layer import open_layer

import sprnnc
from examples.charlm.corpus import Symbols, decode, encode
from examples.charlm.model import CharModel, columns
from sprnnc.cell.reference import run_reference
from sprnnc.executors import relative_error

MODEL = Path(__file__).parent / "model"
SHADES = " ▁▂▃▄▅▆▇█"
_SHADE_BITS = 1.0  # of surprise, for each shade
_SHOWN_LINES, _SHOWN_WIDTH = 8, 100
_MOST_ERROR = 1e-5


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse_arguments(arguments)
    model = CharModel.load(MODEL)
    density = model.about["density"]
    print(
        f"A language model of Python, character by character: an LSTM of {model.hidden} units that keeps "
        f"{density:.0%} of its recurrent weights."
    )
    began = time.perf_counter()
    artifact = sprnnc.compile(
        MODEL / "charlm.sprnn",
        weights=model.tensors,
        batch=model.about["snippet_columns"],
        target=best_target(),
    )
    with open_layer(artifact.loaded()) as layer:
        spent = time.perf_counter() - began
        blocks, lines = artifact.plan.choices.blocks.value, artifact.kernel_source.count("\n")
        print(
            f"Compiled in {spent:.1f} s to one kernel of {blocks} blocks, {lines} lines of CUDA C; "
            f"it runs on {layer.device_name}, {artifact.plan.batch} texts side by side.\n"
        )
        read(model, artifact, layer)
        write(model, layer, options)


def read(model: CharModel, artifact: sprnnc.Artifact, layer: Layer) -> None:
    """Bits a character of the kernel on held-out text. Raises SystemExit where float64 gives others."""
    text = encode((MODEL / "heldout.txt").read_text("utf-8"))
    symbols = columns(text, artifact.plan.batch)
    x, following = model.inputs(symbols[:-1]), symbols[1:]
    y, _ = layer(x)
    exact, _ = run_reference(artifact.model.cell, artifact.tensors, x, {})
    error = relative_error(np.asarray(y), exact)
    surprise = model.bits(np.asarray(y), following)
    print("Text that it has never seen; the higher the bar, the more a character surprised it:\n")
    for line in shaded(following[:, 0], surprise[:, 0]):
        print("  " + line)
    dense, pruned = (model.about["bits_per_character"][part] for part in ("dense", "pruned"))
    now, reference = surprise.mean(), model.bits(exact, following).mean()
    print("\nbits a character                   dense  pruned")
    print(
        f"  this text                        {dense['snippet']:5.3f}  {now:6.3f}"
        f"   by the kernel, just now (float64: {reference:.3f})"
    )
    print(f"  all held-out text, when trained  {dense['heldout']:5.3f}  {pruned['heldout']:6.3f}")
    print(f"relative error of the kernel against the float64 reference: {error:.1e}\n")
    if not error < _MOST_ERROR:
        raise SystemExit(f"the result is wrong: at most {_MOST_ERROR:g} is allowed")


def shaded(symbols: Symbols, bits: NDArray[np.float64]) -> list[str]:
    """The first lines of a text, under each a line of bars, one shade for each bit of surprise."""
    shades = "".join(SHADES[min(int(b / _SHADE_BITS), len(SHADES) - 1)] for b in bits)
    text, at, shown = decode(symbols), 0, []
    for line in text.split("\n"):
        bars = shades[at : at + len(line)]
        at += len(line) + 1
        if line.strip():
            shown += [line[:_SHOWN_WIDTH], bars[:_SHOWN_WIDTH]]
        if len(shown) >= 2 * _SHOWN_LINES:
            break
    return shown


def write(model: CharModel, layer: Layer, options: argparse.Namespace) -> None:
    """Prints how it goes on from the prompt, once for each column of the kernel."""
    began = time.perf_counter()
    texts = continued(model, layer, options.prompt, options.characters, options.temperature, options.seed)
    spent = time.perf_counter() - began
    print(f"It goes on from a prompt, {len(texts)} times at once ({spent:.1f} s):")
    for text in texts:
        print()
        for line in (options.prompt + text).split("\n"):
            print("  " + line)


def continued(
    model: CharModel, layer: Layer, prompt: str, characters: int, temperature: float, seed: int
) -> list[str]:
    """What follows ``prompt``: one text for each column, drawn at ``temperature``."""
    rng = np.random.default_rng(seed)
    batch = layer.manifest.batch
    symbols = np.repeat(encode(prompt)[:, None], batch, axis=1)
    state: dict[str, NDArray[np.float32]] = {}
    written = []
    for _ in range(characters):
        y, state = layer(model.inputs(symbols), state)
        logits = model.log2_probabilities(np.asarray(y)[-1:])[0] / temperature
        logits[:, 0] = -np.inf  # what the alphabet lacks cannot be written
        noise = rng.gumbel(size=logits.shape) / np.log(2)  # the largest sum is a draw (Gumbel 1954)
        symbols = (logits + noise).argmax(axis=1).astype(np.uint8)[None]
        written.append(symbols[0])
    return [decode(column) for column in np.stack(written, axis=1)]


def best_target() -> str:
    """``sm_90`` where a GPU of that kind is present, else ``sim``."""
    try:
        from cuda.bindings import driver

        if int(driver.cuInit(0)[0]) == 0:
            kind = driver.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR
            if driver.cuDeviceGetAttribute(kind, 0)[1] == 9:
                return "sm_90"
    except (ImportError, RuntimeError):
        pass
    return "sim"


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--prompt", default="class Queue:\n    def __init__(")
    parser.add_argument("--characters", type=int, default=160)
    parser.add_argument("--temperature", type=float, default=0.5)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    if not options.prompt:
        parser.error("--prompt needs at least one character to go on from")
    if options.characters < 1 or not options.temperature > 0:
        parser.error("--characters is at least 1, --temperature above 0")
    return options


if __name__ == "__main__":
    try:
        main()
    except SprnnError as error:  # no g++, say: its words tell what to install
        raise SystemExit(str(error)) from None
