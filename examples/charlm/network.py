"""The network in PyTorch: embedding, LSTM, a dense layer that gives each symbol's logit."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from examples.charlm.corpus import ALPHABET, Symbols
from examples.charlm.model import GATES, CharModel, columns

EMBEDDING = 64
_SYMBOLS = len(ALPHABET)


class CharLM(nn.Module):
    """``symbols`` int64 [T, B] and a state to logits [T, B, symbols] and the state after them."""

    def __init__(self, hidden: int, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(_SYMBOLS, EMBEDDING)
        self.lstm = nn.LSTM(EMBEDDING, hidden)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(hidden, _SYMBOLS)
        with torch.no_grad():  # remember at first (Jozefowicz et al. 2015)
            self.lstm.bias_ih_l0[hidden : 2 * hidden].fill_(1.0)

    def forward(self, symbols: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        h, state = self.lstm(self.embedding(symbols), state)
        return self.output(self.dropout(h)), state

    @property
    def hidden(self) -> int:
        return int(self.lstm.hidden_size)


def parameter_count(hidden: int, density: float = 1.0) -> int:
    """Non-zeros of a network whose recurrent matrices have that density; one bias a gate counts."""
    ends = _SYMBOLS * (EMBEDDING + hidden + 1)
    return ends + 4 * hidden * (EMBEDDING + 1) + round(4 * density * hidden * hidden)


def hidden_of_equal_count(hidden: int, density: float) -> int:
    """The smallest dense network, in units of eight, with at least the non-zeros of a pruned one."""
    wanted = parameter_count(hidden, density)
    return next(h for h in range(8, hidden + 8, 8) if parameter_count(h) >= wanted)


def exported(network: CharLM, about: dict[str, Any]) -> CharModel:
    """The same network in NumPy, its input matrix multiplied with the embedding in float64."""
    lstm = network.lstm
    table = _double(network.embedding.weight) @ _double(lstm.weight_ih_l0).T
    table += _double(lstm.bias_ih_l0) + _double(lstm.bias_hh_l0)
    return CharModel(
        recurrent=_single(lstm.weight_hh_l0).reshape(len(GATES), network.hidden, network.hidden),
        table=table.astype(np.float32),
        output=_single(network.output.weight),
        output_bias=_single(network.output.bias),
        about=about | {"hidden": network.hidden},
    )


@torch.no_grad()
def bits_per_character(network: CharLM, text: Symbols, batch: int, chunk: int = 512) -> float:
    """On ``text`` cut into ``batch`` columns, states kept from chunk to chunk, products in full fp32."""
    device = network.output.weight.device
    symbols = torch.from_numpy(columns(text, batch).astype(np.int64)).to(device)
    was_training = network.training
    network.eval()
    total, state = torch.zeros((), dtype=torch.float64, device=device), None
    with tf32(False):
        for first in range(0, len(symbols) - 1, chunk):
            following = symbols[first + 1 : first + chunk + 1]
            logits, state = network(symbols[first : first + len(following)], state)
            total += nn.functional.cross_entropy(
                logits.flatten(0, 1).float(), following.flatten(), reduction="sum"
            )
    network.train(was_training)
    return float(total) / math.log(2) / ((len(symbols) - 1) * batch)


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Lets products of fp32 round their factors to TF32 on a GPU, or forbids it."""
    places = (torch.backends.cudnn, torch.backends.cuda.matmul)
    before = [place.allow_tf32 for place in places]
    for place in places:
        place.allow_tf32 = allowed
    try:
        yield
    finally:
        for place, value in zip(places, before, strict=True):
            place.allow_tf32 = value


def _double(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().double().numpy()


def _single(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().float().numpy().copy()
