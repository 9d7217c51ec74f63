"""One small network for the tests of artifact and runtime: both directions, a sum, shared weights."""

from __future__ import annotations

import sprnnc

BATCH, STEPS = 2, 7
SOURCE = """\
cell RNN(I, H) {
  input  x[I]
  state  h[H]
  weight W[H, I], U[H, H]
  h' = tanh(W @ x + U @ h)
  output h'
}
model small {
  input x[5]
  layer a = RNN(I=5, H=6) on x
  layer b = RNN(I=5, H=6) reverse on x
  layer c = RNN(I=12, H=6) reverse on [a, b]
  layer d = RNN(I=6, H=6) on a + c
  layer e = RNN(I=6, H=6) shares d on d
  output e
}
"""


def compile_small(**more: object) -> sprnnc.NetworkArtifact:
    """For ``sim``, with a launch every three steps."""
    options = {"random_weights": 3, "batch": BATCH, "target": "sim"}
    options["schedule"] = {"blocks": 2, "threads": 32, "steps_per_launch": 3, "kernels": "each"}
    artifact = sprnnc.compile(SOURCE, **(options | more))
    assert isinstance(artifact, sprnnc.NetworkArtifact)
    return artifact
