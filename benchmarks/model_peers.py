"""Whole models by PyTorch: torch.nn with cuDNN, and products of cuBLAS in a captured CUDA graph."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn.utils.rnn import pack_padded_sequence

from benchmarks.model_cases import ModelCase

Call = Callable[[], object]


def module_of(case: ModelCase) -> torch.nn.Module:
    """The model of torch.nn, in fp16: its weights are dense, as its time does not depend on them."""
    kind = torch.nn.LSTM if case.cell == "LSTM" else torch.nn.GRU
    return kind(case.inputs, case.hidden, case.layers, bidirectional=case.bidirectional).cuda().half().eval()


def inputs_of(case: ModelCase) -> torch.Tensor:
    steps = 1 if case.step_by_step else case.steps
    return torch.randn(steps, case.batch, case.inputs, device="cuda", dtype=torch.float16)


def eager(case: ModelCase) -> Call:
    """One call of the module, with packed sequences where lengths differ."""
    module, x = module_of(case), inputs_of(case)
    if not case.lengths:
        return lambda: module(x)
    packed = pack_padded_sequence(x, torch.tensor(case.lengths), enforce_sorted=True)
    return lambda: module(packed)


def captured(case: ModelCase) -> Call:
    """One call of the module on whole columns, replayed."""
    module, x = module_of(case), inputs_of(case)
    return graph_of(lambda: module(x))


def cublas(case: ModelCase) -> Call:
    """One GEMM for the inputs of all steps of a layer; then a GEMM and a fused elementwise kernel a step.

    Both directions run at once. It takes all columns to be of the greatest length.
    """
    layers = [_Directions(case, number) for number in range(case.layers)]
    x = inputs_of(case)

    def run() -> object:
        y = x
        for layer in layers:
            y = layer(y)
        return y

    return graph_of(run)


def graph_of(call: Call) -> Call:
    """``call`` as a captured CUDA graph."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(2):
            call()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    return graph.replay


class _Directions:
    """One layer, in one direction or in both at once."""

    def __init__(self, case: ModelCase, number: int) -> None:
        ways = 2 if case.bidirectional else 1
        inputs = case.inputs if number == 0 else case.hidden * ways
        self.layers = [_Layer(case, inputs) for _ in range(ways)]
        self.side = torch.cuda.Stream() if ways > 1 else None

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        if self.side is None:
            return self.layers[0](x, False)
        now = torch.cuda.current_stream()
        self.side.wait_stream(now)
        with torch.cuda.stream(self.side):
            back = self.layers[1](x, True)
        there = self.layers[0](x, False)
        now.wait_stream(self.side)
        return torch.cat([there, back], 2)


class _Layer:
    def __init__(self, case: ModelCase, inputs: int) -> None:
        self.case, rows = case, (4 if case.cell == "LSTM" else 3) * case.hidden
        self.w = torch.randn(inputs, rows, device="cuda", dtype=torch.float16) / inputs**0.5
        self.u = torch.randn(case.hidden, rows, device="cuda", dtype=torch.float16) / case.hidden**0.5
        self.b = torch.zeros(rows, device="cuda", dtype=torch.float16)
        self.h = torch.zeros(case.batch, case.hidden, device="cuda", dtype=torch.float16)
        self.c = torch.zeros_like(self.h)

    def __call__(self, x: torch.Tensor, reverse: bool) -> torch.Tensor:
        gates = torch.matmul(x.reshape(-1, x.shape[2]), self.w).reshape(x.shape[0], x.shape[1], -1)
        h, c, outputs = self.h, self.c, [x] * len(x)
        for t in reversed(range(len(x))) if reverse else range(len(x)):
            own = torch.matmul(h, self.u)
            if self.case.cell == "LSTM":
                h, c, _ = torch.ops.aten._thnn_fused_lstm_cell(gates[t], own, c, self.b, self.b)
            else:
                h, _ = torch.ops.aten._thnn_fused_gru_cell(gates[t], own, h, self.b, self.b)
            outputs[t] = h
        return torch.stack(outputs)


PEERS: dict[str, Callable[[ModelCase], Call]] = {
    "torch.nn (cuDNN)": eager,
    "torch.nn (cuDNN), CUDA graph": captured,
    "cuBLAS, CUDA graph": cublas,
}
