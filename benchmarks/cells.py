"""The cells of the benchmarks: their gates, in cuDNN's order, and their texts in the DSL.

In mode ``recurrent`` x [H] is added to every gate as it is, which is what cuDNN calls a skipped input;
in mode ``layer`` every gate multiplies it with a dense matrix of its own.
"""

from __future__ import annotations

from enum import Enum


class Mode(Enum):
    RECURRENT = "recurrent"
    LAYER = "layer"


class CellKind(Enum):
    """A cell by the name that tables show; ``gates`` are the suffixes of its tensors' names."""

    RNN = "RNN tanh"
    LSTM = "LSTM"
    GRU = "GRU"

    @property
    def gates(self) -> tuple[str, ...]:
        return _GATES[self]


_GATES = {CellKind.RNN: ("",), CellKind.LSTM: ("i", "f", "g", "o"), CellKind.GRU: ("r", "z", "n")}

# {x} stands for what a gate takes of the input, {U} and {b} for its own matrix and bias.
_RNN = """\
  h' = tanh({x} + {U} @ h + {b})
"""
_LSTM = """\
  i = sigmoid({xi} + {Ui} @ h + {bi})
  f = sigmoid({xf} + {Uf} @ h + {bf})
  g = tanh({xg} + {Ug} @ h + {bg})
  o = sigmoid({xo} + {Uo} @ h + {bo})
  c' = f * c + i * g
  h' = o * tanh(c')
"""
# The variant of cuDNN: the reset gate stands after the product.
_GRU = """\
  r = sigmoid({xr} + {Ur} @ h + {br})
  z = sigmoid({xz} + {Uz} @ h + {bz})
  n = tanh({xn} + r * ({Un} @ h + {bn}))
  h' = (1 - z) * n + z * h
"""
_EQUATIONS = {CellKind.RNN: _RNN, CellKind.LSTM: _LSTM, CellKind.GRU: _GRU}


def cell_text(kind: CellKind, mode: Mode, hidden: int, accumulate: str = "fp32") -> str:
    """A whole model: matrices U (and W) and biases b of every gate, any pattern of non-zeros."""
    layer = mode is Mode.LAYER
    gates = kind.gates
    words = {f"{letter}{g}": f"{letter}{g}" for letter in "Ub" for g in gates}
    words |= {f"x{g}": f"W{g} @ x" if layer else "x" for g in gates}
    weights = [f"  weight {', '.join(f'U{g}[H, H]' for g in gates)}  as_stored"]
    if layer:
        weights.insert(0, f"  weight {', '.join(f'W{g}[H, H]' for g in gates)}")
    states = "h[H], c[H]" if kind is CellKind.LSTM else "h[H]"
    return "\n".join(
        [
            f"cell {kind.name}(H) {{",
            "  input  x[H]",
            f"  state  {states}",
            *weights,
            f"  bias   {', '.join(f'b{g}[H]' for g in gates)}",
            "",
            _EQUATIONS[kind].format(**words) + "  output h'",
            "}",
            f"model {kind.name.lower()} {{",
            f"  accumulate {accumulate}",
            f"  layer main = {kind.name}(H={hidden})",
            "}",
            "",
        ]
    )
