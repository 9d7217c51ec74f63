"""Modules in the place of PyTorch's on the GPU: without a copy, in graphs, under torch.compile."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence  # noqa: E402

import sprnnc.torch  # noqa: E402

N, H, T, B = 40, 96, 30, 4
ORIGINS = {"LSTM": torch.nn.LSTM, "GRU": torch.nn.GRU, "RNN": torch.nn.RNN}
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def pair(name: str, **settings: Any) -> tuple[Any, Any]:
    """PyTorch's module on the CPU, whose products are fp32, and ours on the GPU."""
    torch.manual_seed(3)
    origin = ORIGINS[name](N, H, **settings).eval()
    with torch.no_grad():
        origin.weight_hh_l0 *= torch.rand_like(origin.weight_hh_l0) < 0.3
    return origin, sprnnc.torch.from_module(origin, batch=B).cuda()


def to_cpu(result: Any) -> list[Any]:
    output, after = result
    return [t.cpu() for t in (output, *(after if isinstance(after, tuple) else (after,)))]


def assert_same(got: Any, wanted: Any) -> None:
    for a, b in zip(to_cpu(got), to_cpu(wanted), strict=True):
        torch.testing.assert_close(a, b, **CLOSE)


@pytest.mark.parametrize("name", ORIGINS)
def test_calls_on_any_stream(name: str) -> None:
    origin, ours = pair(name, batch_first=True)
    x = torch.randn(B, T, N)
    assert_same(ours(x.cuda()), origin(x))
    with torch.cuda.stream(torch.cuda.Stream()):
        assert_same(ours(x[:2].cuda()), origin(x[:2]))
    ours.check()


@pytest.mark.parametrize("name", ["LSTM", "GRU"])
def test_packed_sequences(name: str) -> None:
    origin, ours = pair(name)
    x, lengths = torch.randn(T, B, N), torch.tensor([3, T, 11, 11])
    got, after = ours(pack_padded_sequence(x.cuda(), lengths, enforce_sorted=False))
    wanted, last = origin(pack_padded_sequence(x, lengths, enforce_sorted=False))
    assert_same((pad_packed_sequence(got)[0], after), (pad_packed_sequence(wanted)[0], last))
    ours.check()


def test_a_module_in_a_graph() -> None:
    origin, ours = pair("LSTM")
    held, side = torch.zeros(T, B, N, device="cuda"), torch.cuda.Stream()
    with torch.no_grad():
        with torch.cuda.stream(side):
            ours(held)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=side):
            captured = ours(held)
        for _ in range(3):
            x = torch.randn(T, B, N)
            held.copy_(x)
            graph.replay()
            torch.cuda.synchronize()
            assert_same(captured, origin(x))
    ours.check()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast_and_torch_compile(dtype: Any) -> None:
    origin, ours = pair("GRU")
    x = torch.randn(T, B, N)
    with torch.no_grad(), torch.autocast("cuda", dtype=dtype):
        model = torch.compile(lambda x: ours(x)[0] * 2, fullgraph=True)
        y = model(x.cuda().to(dtype))
    assert y.dtype == dtype
    torch.testing.assert_close(y.cpu().float(), origin(x)[0].detach() * 2, rtol=3e-2, atol=3e-2)
