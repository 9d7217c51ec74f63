"""Pruning by magnitude: to a pattern, to a density, to a device, and gradually while training."""

from __future__ import annotations

from sprnnc.pruning.declare import pattern_from_text
from sprnnc.pruning.layers import Layer, Rank, Request, make_layer, prune_layers, prune_to_device
from sprnnc.pruning.magnitude import Norm, Pruned, prune
from sprnnc.pruning.schedules import Narang, ZhuGupta
from sprnnc.pruning.training import GradualPruner, ThresholdPruner, q_of
from sprnnc.pruning.whole import Whole, put_together, take_apart

__all__ = [
    "GradualPruner",
    "Layer",
    "Narang",
    "Norm",
    "Pruned",
    "Rank",
    "Request",
    "ThresholdPruner",
    "Whole",
    "ZhuGupta",
    "make_layer",
    "pattern_from_text",
    "prune",
    "prune_layers",
    "prune_to_device",
    "put_together",
    "q_of",
    "take_apart",
]
