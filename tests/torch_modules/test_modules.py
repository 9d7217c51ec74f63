"""Modules in the place of nn.LSTM, nn.GRU and nn.RNN, beside these; skipped without torch."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from sprnnc.diagnostics import CompileError

torch = pytest.importorskip("torch")

from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence  # noqa: E402

import sprnnc.torch  # noqa: E402

N, H, T, B = 5, 12, 7, 3
ORIGINS = {
    "LSTM": lambda **s: torch.nn.LSTM(N, H, **s),
    "LSTM projected": lambda **s: torch.nn.LSTM(N, H, proj_size=4, **s),
    "LSTM without bias": lambda **s: torch.nn.LSTM(N, H, bias=False, **s),
    "GRU": lambda **s: torch.nn.GRU(N, H, **s),
    "RNN": lambda **s: torch.nn.RNN(N, H, **s),
    "RNN of relu": lambda **s: torch.nn.RNN(N, H, nonlinearity="relu", **s),
}
CLOSE = {"rtol": 1e-5, "atol": 1e-6}


def pair(name: str, cpu: str = "plan", **settings: Any) -> tuple[Any, Any]:
    """PyTorch's module, half of its weights pruned, and ours made of it."""
    torch.manual_seed(3)
    origin = ORIGINS[name](**settings).eval()
    with torch.no_grad():
        origin.weight_hh_l0 *= torch.rand_like(origin.weight_hh_l0) < 0.5
    return origin, sprnnc.torch.from_module(origin, batch=B, target="sim", cpu=cpu)


def states_for(origin: Any, batch: int | None = B) -> Any:
    columns = () if batch is None else (batch,)
    h = torch.randn(1, *columns, getattr(origin, "proj_size", 0) or H)
    return (h, torch.randn(1, *columns, H)) if origin.mode == "LSTM" else h


def flat(result: Any) -> list[Any]:
    """Output and states, whether they are one or two."""
    output, after = result
    return [output, *(after if isinstance(after, tuple) else (after,))]


def assert_same(got: Any, wanted: Any, **close: float) -> None:
    for a, b in zip(flat(got), flat(wanted), strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype
        torch.testing.assert_close(a, b, **(close or CLOSE))


@pytest.mark.parametrize("given", [False, True], ids=["zeros", "states"])
@pytest.mark.parametrize("batch_first", [False, True], ids=["TBI", "BTI"])
@pytest.mark.parametrize("name", ORIGINS)
def test_calls_agree_with_pytorch(name: str, batch_first: bool, given: bool) -> None:
    origin, ours = pair(name, batch_first=batch_first)
    x = torch.randn(B, T, N) if batch_first else torch.randn(T, B, N)
    hx = (states_for(origin),) if given else ()
    assert_same(ours(x, *hx), origin(x, *hx))


@pytest.mark.parametrize("name", ["LSTM", "GRU"])
def test_the_simulated_kernel_fewer_columns_and_no_batch(name: str) -> None:
    origin, ours = pair(name, cpu="sim")
    x = torch.randn(T, 1, N)
    assert_same(ours(x), origin(x))
    hx = states_for(origin, None)
    assert_same(ours(x[:, 0], hx), origin(x[:, 0], hx))


@pytest.mark.parametrize("sorted_", [True, False])
@pytest.mark.parametrize("name", ["LSTM", "GRU", "RNN"])
def test_packed_sequences(name: str, sorted_: bool) -> None:
    origin, ours = pair(name)
    lengths = torch.tensor([7, 4, 4] if sorted_ else [2, 7, 4])
    packed = pack_padded_sequence(torch.randn(T, B, N), lengths, enforce_sorted=sorted_)
    hx = states_for(origin)
    got, wanted = ours(packed, hx), origin(packed, hx)
    torch.testing.assert_close(got[0].data, wanted[0].data, **CLOSE)
    assert torch.equal(got[0].batch_sizes, wanted[0].batch_sizes)
    unpacked = [pad_packed_sequence(p[0])[0] for p in (got, wanted)]
    assert_same((unpacked[0], got[1]), (unpacked[1], wanted[1]))


def test_names_shapes_and_settings_are_those_of_pytorch() -> None:
    for name in ORIGINS:
        origin, ours = pair(name, batch_first=True)
        shapes = [{n: p.shape for n, p in m.named_parameters()} for m in (ours, origin)]
        assert shapes[0] == shapes[1]
        for setting in "input_size hidden_size num_layers bias batch_first bidirectional mode".split():
            assert getattr(ours, setting) == getattr(origin, setting)


def test_autocast_and_half_inputs_give_their_own_type() -> None:
    origin, ours = pair("LSTM")
    x = torch.randn(T, B, N).bfloat16()
    got, (h, c) = ours(x)
    assert {t.dtype for t in (got, h, c)} == {torch.bfloat16}
    wanted, _ = origin(x.float())
    torch.testing.assert_close(got.float(), wanted, rtol=1e-2, atol=1e-2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y, _ = ours(torch.nn.Linear(N, N)(torch.randn(T, B, N)))
    assert y.dtype == torch.bfloat16


class Tagger(torch.nn.Module):
    def __init__(self, rnn: Any) -> None:
        super().__init__()
        self.embed, self.rnn, self.head = torch.nn.Linear(N, N), rnn, torch.nn.Linear(H, 2)

    def forward(self, x: Any) -> Any:
        return self.head(self.rnn(torch.tanh(self.embed(x)))[0])


@pytest.mark.parametrize("name", ["LSTM", "GRU"])
def test_torch_compile_keeps_one_graph(name: str) -> None:
    _, ours = pair(name)
    model = Tagger(ours).eval()
    x = torch.randn(T, B, N)
    with torch.no_grad():
        compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
        torch.testing.assert_close(compiled(x), model(x), **CLOSE)


def test_the_operator_is_what_it_says_to_torch() -> None:
    _, ours = pair("LSTM")
    states = [torch.randn(B, H), torch.randn(B, H)]
    arguments = (torch.randn(T, B, N), states, torch.tensor([7, 2, 0]), ours._number)
    torch.library.opcheck(torch.ops.sprnnc.recurrence, arguments)


def test_new_weights_ask_for_a_new_build() -> None:
    _, ours = pair("GRU")
    x = torch.randn(T, B, N)
    other = torch.nn.GRU(N, H).eval()
    ours.load_state_dict(other.state_dict())
    with pytest.raises(CompileError, match="not built"):
        ours(x)
    assert_same(ours.build(batch=B, target="sim", cpu="plan")(x), other(x))
    twin = copy.deepcopy(ours)
    with pytest.raises(CompileError, match="not built"):
        twin(x)


def test_what_cannot_be_is_refused_in_words() -> None:
    origin, ours = pair("GRU")
    with pytest.raises(CompileError, match="one layer and one direction"):
        sprnnc.torch.GRU(N, H, num_layers=2)
    with pytest.raises(CompileError, match="one layer and one direction"):
        sprnnc.torch.from_module(torch.nn.LSTM(N, H, bidirectional=True), batch=1)
    with pytest.raises(CompileError, match="Linear is not an"):
        sprnnc.torch.from_module(torch.nn.Linear(2, 2), batch=1)
    with pytest.raises(CompileError, match=r"shape \[1, 2, 12\], expected \[1, 3, 12\]"):
        ours(torch.randn(T, B, N), torch.zeros(1, 2, H))
    with pytest.raises(CompileError, match="inference"):
        ours.train()(torch.randn(T, B, N))
    with torch.no_grad():
        assert_same(ours(torch.ones(T, B, N)), origin(torch.ones(T, B, N)))
