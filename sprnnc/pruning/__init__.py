"""Pruning by magnitude: to a pattern, to a density, to a device, and gradually while training."""

from __future__ import annotations

from sprnnc.pruning.declare import pattern_from_text
from sprnnc.pruning.layers import Layer, Rank, Request, make_layer, prune_layers, prune_to_device
from sprnnc.pruning.magnitude import Norm, Pruned, prune
from sprnnc.pruning.schedules import Narang, ZhuGupta
from sprnnc.pruning.training import GradualPruner, ThresholdPruner, q_of

__all__ = [
    "GradualPruner",
    "Layer",
    "Narang",
    "Norm",
    "Pruned",
    "Rank",
    "Request",
    "ThresholdPruner",
    "ZhuGupta",
    "make_layer",
    "pattern_from_text",
    "prune",
    "prune_layers",
    "prune_to_device",
    "q_of",
]
