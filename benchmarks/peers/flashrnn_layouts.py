"""How arrays lie for FlashRNN's kernels.

Ours are matrices [gates, H out, H in], biases [gates, H] and inputs [T, B, H], gates in cuDNN's order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


class Fused:
    """Inputs [T, B, heads, H, gates], matrices [heads, H out, gates, H in], biases [heads, H, gates]."""

    backend, kernel = "cuda_fused", "_FlashRNNCUDAFused"

    def gated(self, hidden: int, gates: int) -> tuple[int, int]:
        return hidden, gates

    def rows(self, matrices: NDArray[Any]) -> NDArray[Any]:
        return matrices.transpose(1, 0, 2)

    def recurrent(self, matrices: NDArray[Any]) -> NDArray[Any]:
        return matrices.transpose(1, 0, 2)

    def bias(self, bias: NDArray[Any]) -> NDArray[Any]:
        return bias.T


class Alternating:
    """Inputs [T, B, heads, gates, H], matrices [heads, H in, gates, H out], biases [heads, gates, H].

    For the GRU alone: its inputs come as reset, update, new like ours, its matrices as new, reset, update,
    and its biases as the new gate's inside the reset, reset, update, the new gate's outside, which we lack.
    """

    backend, kernel = "cuda", "_FlashRNNCUDA"
    _ORDER = (2, 0, 1)

    def gated(self, hidden: int, gates: int) -> tuple[int, int]:
        return gates, hidden

    def rows(self, matrices: NDArray[Any]) -> NDArray[Any]:
        return matrices

    def recurrent(self, matrices: NDArray[Any]) -> NDArray[Any]:
        return matrices[self._ORDER, :, :].transpose(2, 0, 1)

    def bias(self, bias: NDArray[Any]) -> NDArray[Any]:
        return np.concatenate([bias[self._ORDER, :], np.zeros_like(bias[:1])])
