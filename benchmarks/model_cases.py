"""Whole models as people run them, as text for the compiler and as PyTorch modules for its peers."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

GROUP = "models"
DENSITY = 0.1
REQUIRED = 3.0  # times the best peer's time over ours

LSTM = """\
cell LSTM(I, H) {
  input  x[I]
  state  h[H], c[H]
  weight Wi[H, I], Wf[H, I], Wg[H, I], Wo[H, I]  sparse(0.1)
  weight Ui[H, H], Uf[H, H], Ug[H, H], Uo[H, H]  sparse(0.1)
  bias   bi[H], bf[H], bg[H], bo[H]

  i = sigmoid(Wi @ x + Ui @ h + bi)
  f = sigmoid(Wf @ x + Uf @ h + bf)
  g = tanh(Wg @ x + Ug @ h + bg)
  o = sigmoid(Wo @ x + Uo @ h + bo)
  c' = f * c + i * g
  h' = o * tanh(c')
  output h'
}
"""
GRU = """\
cell GRU(I, H) {
  input  x[I]
  state  h[H]
  weight Wr[H, I], Wz[H, I], Wn[H, I]  sparse(0.1)
  weight Ur[H, H], Uz[H, H], Un[H, H]  sparse(0.1)
  bias   br[H], bz[H], bn[H], bu[H]

  r = sigmoid(Wr @ x + Ur @ h + br)
  z = sigmoid(Wz @ x + Uz @ h + bz)
  n = tanh(Wn @ x + bn + r * (Un @ h + bu))
  h' = (1 - z) * n + z * h
  output h'
}
"""


@dataclass(frozen=True, slots=True)
class ModelCase:
    """A stack of layers of one size. ``step_by_step``: a step a call, each after the one before.

    ``lengths``: of each column; ``steps`` is the longest. ``schedule``: what the user would say.
    """

    name: str
    cell: str
    inputs: int
    hidden: int
    layers: int
    batch: int
    steps: int
    bidirectional: bool = False
    step_by_step: bool = False
    lengths: tuple[int, ...] = ()
    schedule: dict[str, object] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The model in the language."""
        lines, read = [f"  input x[{self.inputs}]"], ("x", self.inputs)
        for number in range(self.layers):
            names = [f"l{number}", f"l{number}r"] if self.bidirectional else [f"l{number}"]
            for name in names:
                way = " reverse" if name.endswith("r") else ""
                lines.append(f"  layer {name} = {self.cell}(I={read[1]}, H={self.hidden}){way} on {read[0]}")
            read = (f"[{', '.join(names)}]" if len(names) > 1 else names[0], self.hidden * len(names))
        lines += [f"  output {read[0]}", "  dtype fp16", "  accumulate fp16"]
        cell = LSTM if self.cell == "LSTM" else GRU
        return f"{cell}\nmodel {self.name.replace('-', '_')} {{\n" + "\n".join(lines) + "\n}\n"


SPEECH_LENGTHS = (1500, 1230, 870, 500)
STEP_BY_STEP: dict[str, object] = {"kernels": "in_turn", "input_products": "joined"}


def translation(batch: int) -> tuple[ModelCase, ModelCase]:
    """An encoder over a whole sentence, and a decoder that waits for each of its own words."""
    encoder = ModelCase(f"encoder-b{batch}", "LSTM", 1024, 1024, 2, batch, 50)
    decoder = ModelCase(
        f"decoder-b{batch}", "LSTM", 1024, 1024, 4, batch, 50, step_by_step=True, schedule=STEP_BY_STEP
    )
    return encoder, decoder


SPEECH = ModelCase(
    "speech", "GRU", 160, 1024, 5, 4, SPEECH_LENGTHS[0], bidirectional=True, lengths=SPEECH_LENGTHS
)
WAVEFRONTS = tuple(
    ModelCase(f"stack-{layers}x{hidden}-b{batch}", "LSTM", hidden, hidden, layers, batch, 512)
    for layers, hidden, batch in (
        (4, 256, 4),
        (2, 512, 4),
        (4, 512, 1),
        (2, 1024, 1),
        (4, 1024, 1),
        (4, 1024, 4),
    )
)


def sparse_weights(shapes: dict[str, tuple[int, ...]], seed: int) -> dict[str, np.ndarray]:
    """Unstructured matrices of exactly the density, representable in fp16, and small biases."""
    rng, made = np.random.default_rng(seed), {}
    for name, shape in shapes.items():
        if len(shape) == 1:
            made[name] = (0.1 * rng.standard_normal(shape)).astype(np.float32)
            continue
        flat = np.zeros(shape[0] * shape[1], np.float32)
        count = round(DENSITY * flat.size)
        values = rng.standard_normal(count) * 0.5 / np.sqrt(DENSITY * shape[1])
        flat[rng.choice(flat.size, count, replace=False)] = values
        made[name] = flat.astype(np.float16).astype(np.float32).reshape(shape)
    return made
