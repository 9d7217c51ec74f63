"""What all parts of one run of the training script share."""

from __future__ import annotations

import argparse
import platform
import time
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from examples.charlm.corpus import Corpus
from examples.charlm.kernels import Variant
from examples.charlm.model import CharModel
from examples.charlm.network import CharLM
from examples.charlm.results import Results
from examples.charlm.training import Recipe, Text

DENSE, EQUAL = "dense", "dense-equal"  # the second has as many non-zeros as the first pruned one


def pruned_name(density: float) -> str:
    return f"pruned-{density:g}"


@dataclass(frozen=True, slots=True)
class Machine:
    """What differs between a GPU and a CPU.

    ``batch`` and ``length`` of a training step; ``reserve``: see Run;
    ``kernel_steps`` that a kernel runs on held-out text, of which ``checked_steps`` are compared with
    float64; ``dtypes`` of the kernels, and how many ``workers`` compile them.
    """

    device: str
    target: str
    gpu: str
    batch: int
    length: int
    reserve: float
    kernel_steps: int
    checked_steps: int
    dtypes: tuple[str, ...]
    workers: int

    @property
    def runs_on(self) -> str:
        """The runtime's name of the device."""
        return "cuda" if self.device == "cuda" else "sim"


def find_machine() -> Machine:
    """The first GPU, or the CPU where there is none."""
    if not torch.cuda.is_available():
        return Machine("cpu", "sim", "", 32, 64, 12, 64, 64, ("fp32",), 1)
    major, minor = torch.cuda.get_device_capability()
    name = torch.cuda.get_device_name()
    return Machine("cuda", f"sm_{major}{minor}", name, 128, 128, 90, 2048, 256, ("fp16", "fp32"), 4)


@dataclass(slots=True, eq=False)
class Run:
    """``work`` receives models and artifacts; ``builds`` are kernels on their way, by the model's name."""

    options: argparse.Namespace
    machine: Machine
    work: Path
    corpus: Corpus
    recipe: Recipe
    text: Text
    results: Results
    began: float = field(default_factory=time.monotonic)
    networks: dict[str, CharLM] = field(default_factory=dict)
    models: dict[str, CharModel] = field(default_factory=dict)
    builds: list[tuple[str, Variant, Future[float]]] = field(default_factory=list)

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.began

    @property
    def training_deadline(self) -> float:
        """Later than what is planned, earlier than what would leave nothing for the rest."""
        return self.deadline - 0.7 * self.reserve

    @property
    def reserve(self) -> float:
        """Seconds for all that comes after training."""
        given: float | None = self.options.reserve
        return self.machine.reserve if given is None else given

    @property
    def deadline(self) -> float:
        return self.began + float(self.options.time_limit)

    def say(self, line: str) -> None:
        print(f"[{self.elapsed:5.0f} s] {line}", flush=True)


def header(
    options: argparse.Namespace, machine: Machine, corpus: Corpus, recipe: Recipe
) -> dict[str, object]:
    """Where and how: what the results begin with."""
    return {
        "gpu": machine.gpu,
        "commit": options.commit,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "settings": {
            "hidden": options.hidden,
            "densities": options.densities,
            "seed": options.seed,
            "dropout": options.dropout,
            "recipe": asdict(recipe),
            "arithmetic": "TF32 products" if machine.device == "cuda" else "fp32",
        },
        "corpus": {
            "files": corpus.files,
            "heldout_files": corpus.heldout_files,
            "characters": len(corpus.training),
            "heldout_characters": len(corpus.heldout),
        },
    }
