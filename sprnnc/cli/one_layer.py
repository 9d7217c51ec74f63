"""Commands that take one layer, and files that hold several."""

from __future__ import annotations

import argparse

from sprnnc.artifact import Artifact
from sprnnc.diagnostics import fail, near_match
from sprnnc.network_artifact import Compiled


def add_layer_option(parser: argparse.ArgumentParser, what: str) -> None:
    """``--layer NAME``; ``what`` is done with that layer, in words."""
    parser.add_argument("--layer", metavar="NAME", help=f"{what} this layer of a model of several")


def one_layer(compiled: Compiled, name: str | None, what: str) -> Artifact:
    """The layer called ``name``, or the only one. ``what`` needs it, for the message.

    Raises CompileError E622 where it is not clear which, or not there.
    """
    if isinstance(compiled, Artifact):
        if name not in (None, compiled.model.layer):
            raise fail("E622", f"there is no layer '{name}'", help=f"the only one is {compiled.model.layer}")
        return compiled
    owner = {layer.name: layer.weights for layer in compiled.network.layers}
    listed = ", ".join(owner)
    if name is None:
        raise fail(
            "E622",
            f"model {compiled.network.name} has {len(owner)} layers, and {what} takes one",
            help=f"choose one where the command has --layer: {listed}",
        )
    if name not in owner:
        near = near_match(name, owner)
        hint = f"did you mean '{near}'? " if near else ""
        raise fail("E622", f"there is no layer '{name}'", help=f"{hint}layers: {listed}")
    if owner[name] not in compiled.parts:
        raise fail(
            "E622",
            f"layer '{name}' has no kernel of its own: it runs in one with others",
            help="compile the model with --set kernels=each",
        )
    return compiled.parts[owner[name]]
