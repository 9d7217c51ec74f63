"""torch.nn peer: RNN, LSTM and GRU as a user of PyTorch calls them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from benchmarks.cells import CellKind
from benchmarks.peers.inputs import PeerInputs
from benchmarks.peers.outcome import Measured, Precision, Refused, Timing

_MODULES = {CellKind.RNN: "RNN", CellKind.LSTM: "LSTM", CellKind.GRU: "GRU"}


def run(inputs: PeerInputs, timing: Timing) -> Measured:
    """Raises Refused without PyTorch or its GPU, and in mode recurrent, which its modules do not have."""
    if inputs.input_weights is None:
        raise Refused("no mode without an input product")
    torch = _torch()
    if not torch.cuda.is_available():
        raise Refused("PyTorch sees no GPU")
    try:
        with torch.inference_mode(), _tf32(torch, inputs.precision is Precision.TF32):
            return _measure(torch, inputs, timing)
    except RuntimeError as error:
        raise Refused(f"torch.nn: {str(error).splitlines()[0]}") from error
    finally:
        torch.cuda.empty_cache()  # the next peer allocates without PyTorch


def _measure(torch: Any, inputs: PeerInputs, timing: Timing) -> Measured:
    module = make_module(torch, inputs, "cuda")
    x = torch.from_numpy(inputs.x).cuda()
    y, times = _timed(torch, lambda: module(x)[0], timing)
    return Measured(y.float().cpu().numpy(), tuple(t / inputs.steps for t in times))


def make_module(torch: Any, inputs: PeerInputs, device: str) -> Any:
    """The module with our weights: PyTorch has cuDNN's gate order. Our bias is its recurrent one."""
    hidden = inputs.hidden
    kind = getattr(torch.nn, _MODULES[inputs.kind])
    module = kind(hidden, hidden, device=device, dtype=torch.from_numpy(inputs.bias).dtype)
    assert inputs.input_weights is not None
    values = {
        "weight_ih_l0": inputs.input_weights.reshape(-1, hidden),
        "weight_hh_l0": inputs.recurrent.reshape(-1, hidden),
        "bias_ih_l0": np.zeros_like(inputs.bias).reshape(-1),
        "bias_hh_l0": inputs.bias.reshape(-1),
    }
    with torch.no_grad():
        for name, value in values.items():
            getattr(module, name).copy_(torch.from_numpy(value))
    module.flatten_parameters()
    return module.eval()


def _timed(torch: Any, call: Any, timing: Timing) -> tuple[Any, list[float]]:
    """The last call's outputs, and microseconds of every call but the warm-ups."""
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))

    def once() -> tuple[Any, float]:
        torch.cuda._sleep(
            2_000_000
        )  # cycles in which the call is enqueued: the processor's time does not count
        first.record()
        y = call()
        last.record()
        last.synchronize()
        return y, first.elapsed_time(last) * 1e3

    y, once_us = once()
    for _ in range(timing.warmups - 1):
        y, once_us = once()
    affordable = int(timing.patience_ms * 1e3 / once_us)
    times = []
    for _ in range(min(timing.repeats, max(timing.least_repeats, affordable))):
        y, microseconds = once()
        times.append(microseconds)
    return y, times


@contextmanager
def _tf32(torch: Any, allowed: bool) -> Iterator[None]:
    """Lets fp32 products round their factors to TF32, or forbids it."""
    places = (torch.backends.cudnn, torch.backends.cuda.matmul)
    before = [place.allow_tf32 for place in places]
    try:
        for place in places:
            place.allow_tf32 = allowed
        yield
    finally:
        for place, value in zip(places, before, strict=True):
            place.allow_tf32 = value


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise Refused("PyTorch is not installed") from error
    return torch
