"""Finds recurrent layers in a PyTorch state_dict by the names of their tensors.

A module ``rnn`` has ``rnn.weight_ih_l0``, ``rnn.weight_hh_l0``, ``rnn.bias_ih_l0``, ``rnn.bias_hh_l0``
and, with a projection, ``rnn.weight_hr_l0``; deeper layers have ``l1`` and so on, the reverse direction
``_reverse`` behind it; a cell (``nn.LSTMCell``) has neither. ``torch.nn.utils.prune`` keeps a tensor apart
from its mask as ``..._orig`` and ``..._mask``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_NAME = re.compile(
    r"(?P<prefix>.*?)(?P<part>weight_(?:ih|hh|hr)|bias_(?:ih|hh))"
    r"(?P<layer>_l(?P<depth>[0-9]{1,4})(?P<reverse>_reverse)?)?(?P<pruned>_orig|_mask)?",
    re.S,
)


@dataclass(frozen=True, slots=True)
class TensorName:
    """A tensor's name, taken apart: ``part`` is ``weight_hh``, ``pruned`` ``_orig``, ``_mask`` or nothing."""

    prefix: str
    part: str
    layer: str
    depth: int
    reverse: bool
    pruned: str


def split_name(name: str) -> TensorName | None:
    """None for a tensor that is no recurrent layer's."""
    found = _NAME.fullmatch(name)
    if not found or (found["prefix"] and not found["prefix"].endswith((".", "_", "/"))):
        return None
    return TensorName(
        prefix=found["prefix"],
        part=found["part"],
        layer=found["layer"] or "",
        depth=int(found["depth"] or 0),
        reverse=bool(found["reverse"]),
        pruned=found["pruned"] or "",
    )


def recurrent_names(names: Iterable[str]) -> list[str]:
    """Those of ``names`` that belong to recurrent layers."""
    return [name for name in names if split_name(name)]
