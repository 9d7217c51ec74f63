"""A trained model in NumPy: what lies before and after the recurrent layer, and its files.

    x[t] = table[symbol[t]]      a row of pre-activations [4 H] for each symbol of the alphabet
    h[t] = the compiled layer
    logits[t] = output @ h[t] + output_bias

The table is the product of the LSTM's input matrix with the embedding, both biases added: a symbol selects
its row, so that nothing is multiplied.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sprnn_runtime import container

from examples.charlm.corpus import ALPHABET, Symbols
from examples.charlm.sparse_file import read_sparse, write_sparse
from sprnnc.sparsity.weight_files import load_tensors
from sprnnc.sparsity.write_weights import safetensors_bytes

Float32 = NDArray[np.float32]
GATES = "ifgo"  # as PyTorch stacks them
_SYMBOLS = len(ALPHABET)
_SPARSE = "charlm_sparse.safetensors"

_SOURCE = """\
# The recurrent layer of a character language model, an LSTM (Hochreiter, Schmidhuber 1997; Gers et al. 2000).
# A symbol selects a row of pre-activations, one vector a gate, so that no input matrix is left.
cell CharLSTM(H) {{
  input  xi[H], xf[H], xg[H], xo[H]
  state  h[H], c[H]
{weights}

  i = sigmoid(xi + Ui @ h)
  f = sigmoid(xf + Uf @ h)
  g = tanh(xg + Ug @ h)
  o = sigmoid(xo + Uo @ h)
  c' = f * c + i * g
  h' = o * tanh(c')
  output h'
}}

model charlm {{
  layer main = CharLSTM(H={hidden})
}}
"""


@dataclass(frozen=True, slots=True, eq=False)
class CharModel:
    """``recurrent`` [4, H, H] by gate, ``table`` [symbols, 4 H], ``output`` [symbols, H], its bias [symbols].

    ``about``: what the training wrote down, for people and for the demo.
    """

    recurrent: Float32
    table: Float32
    output: Float32
    output_bias: Float32
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def hidden(self) -> int:
        return int(self.recurrent.shape[1])

    @property
    def densities(self) -> dict[str, float]:
        """The share of non-zeros in each gate's recurrent matrix."""
        return {g: float(np.mean(u != 0)) for g, u in zip(GATES, self.recurrent, strict=True)}

    @property
    def source(self) -> str:
        """The recurrent layer in the language; each matrix is declared as dense as it is."""
        lines = []
        for gate, density in self.densities.items():
            pattern = f"  sparse({density:.4g})" if density < 1 else ""
            lines.append(f"  weight U{gate}[H, H]{pattern}")
        return _SOURCE.format(weights="\n".join(lines), hidden=self.hidden)

    @property
    def tensors(self) -> dict[str, Float32]:
        """What ``source`` declares."""
        return {f"U{g}": u for g, u in zip(GATES, self.recurrent, strict=True)}

    def inputs(self, symbols: Symbols) -> Float32:
        """x float32 [T, B, 4 H] of symbols [T, B]."""
        return self.table[symbols]

    def log2_probabilities(self, y: NDArray[Any]) -> NDArray[np.float64]:
        """Of every symbol that may follow, [T, B, symbols], from the layer's output y [T, B, H]."""
        logits = y.astype(np.float64) @ self.output.T + self.output_bias
        logits -= logits.max(axis=-1, keepdims=True)
        return (logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))) / np.log(2)

    def bits(self, y: NDArray[Any], following: Symbols) -> NDArray[np.float64]:
        """How surprising what follows is, in bits: [T, B], for ``following`` [T, B]."""
        all_bits = -self.log2_probabilities(y)
        return np.take_along_axis(all_bits, following[..., None].astype(np.intp), axis=-1)[..., 0]

    def save(self, folder: Path, *, small: bool = False) -> None:
        """Writes the files of a model: each whole or not at all, the description last.

        ``small``: non-zeros alone and all in fp16, to travel; otherwise as the compiler reads weights.
        """
        folder.mkdir(parents=True, exist_ok=True)
        ends = {"table": self.table, "output": self.output, "output_bias": self.output_bias}
        if small:
            write_sparse(folder / _SPARSE, self.tensors)
            ends = {name: tensor.astype(np.float16) for name, tensor in ends.items()}
        else:
            container.write_file(folder / "charlm.safetensors", safetensors_bytes(self.tensors))
        container.write_file(folder / "ends.safetensors", safetensors_bytes(ends))
        container.write_file(folder / "charlm.sprnn", self.source.encode())
        container.write_file(folder / "about.json", (json.dumps(self.about, indent=1) + "\n").encode())

    @staticmethod
    def load(folder: Path) -> CharModel:
        """Reads what ``save`` wrote. Raises CompileError where weights are missing or do not fit."""
        about = json.loads((folder / "about.json").read_text("utf-8"))
        hidden = int(about["hidden"])
        wanted = {f"U{g}": (hidden, hidden) for g in GATES}
        if (folder / _SPARSE).exists():
            matrices = read_sparse(folder / _SPARSE, wanted)
        else:
            matrices = load_tensors(folder / "charlm.safetensors", wanted)
        shapes = {"table": (_SYMBOLS, 4 * hidden), "output": (_SYMBOLS, hidden), "output_bias": (_SYMBOLS,)}
        ends = load_tensors(folder / "ends.safetensors", shapes)
        return CharModel(np.stack([matrices[f"U{g}"] for g in GATES]), about=about, **ends)


def columns(symbols: Symbols, batch: int, steps: int | None = None) -> Symbols:
    """A text as ``batch`` columns side by side, [T, B]: the first ``steps`` of each, or all that fit."""
    longest = len(symbols) // batch
    parts = symbols[: longest * batch].reshape(batch, longest)
    return np.ascontiguousarray(parts[:, :steps].T)
