"""Whole models beside PyTorch itself, where it is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sprnnc
from sprnnc.importing import from_module, whole_models

torch = pytest.importorskip("torch")
EXAMPLES = Path(__file__).parents[2] / "examples"
BOUND = 2e-6
DRAWN = settings(max_examples=3)


def relative(y: np.ndarray, expected: Any) -> float:
    exact = expected.detach().numpy()
    return float(np.linalg.norm(y - exact) / np.linalg.norm(exact))


def random_input(data: st.DataObject, inputs: int) -> np.ndarray:
    steps, batch = data.draw(st.integers(1, 12), label="T"), data.draw(st.integers(1, 4), label="B")
    seed = data.draw(st.integers(0, 999), label="seed")
    torch.manual_seed(seed)
    return np.random.default_rng(seed).standard_normal((steps, batch, inputs)).astype(np.float32)


def pack(data: st.DataObject, x: np.ndarray) -> tuple[list[int], Any]:
    """Lengths from 1 on, as torch takes them, and the packed sequences in float64."""
    steps, batch = x.shape[:2]
    drawn = st.lists(st.integers(1, steps), min_size=batch, max_size=batch)
    lengths = data.draw(drawn, label="lengths")
    packed = torch.nn.utils.rnn.pack_padded_sequence(
        torch.from_numpy(x).double(), torch.tensor(lengths), enforce_sorted=False
    )
    return lengths, packed


def padded(y: Any, steps: int) -> Any:
    return torch.nn.utils.rnn.pad_packed_sequence(y, total_length=steps)[0]


def run_module(
    module: Any, x: np.ndarray, device: str, lengths: list[int] | None = None
) -> sprnnc.executors.Run:
    """The imported module with a random state at the start, which torch is given too."""
    (model,) = whole_models(from_module(module))
    artifact = sprnnc.compile(model.source, weights=model.tensors, batch=x.shape[1], target="sim")
    return sprnnc.execute(artifact, x, lengths=lengths, device=device)


@pytest.mark.parametrize("device", ["plan", "sim"])
@DRAWN
@given(data=st.data())
def test_a_bidirectional_lstm_of_four_layers(device: str, data: st.DataObject) -> None:
    hidden = data.draw(st.integers(1, 9), label="H")
    x = random_input(data, 5)
    module = torch.nn.LSTM(5, hidden, num_layers=4, bidirectional=True).double()
    lengths, packed = pack(data, x)
    y, (h, c) = module(packed)
    run = run_module(module, x, device, lengths)
    assert relative(run.y, padded(y, len(x))) < BOUND
    for number, end in enumerate(f"l{k}{way}" for k in range(4) for way in ("", "_reverse")):
        np.testing.assert_allclose(run.state[f"{end}.h"], h[number].detach(), atol=1e-5)
        np.testing.assert_allclose(run.state[f"{end}.c"], c[number].detach(), atol=1e-5)


@pytest.mark.parametrize("device", ["plan", "sim"])
@DRAWN
@given(data=st.data())
def test_an_lstm_with_projection_in_two_layers(device: str, data: st.DataObject) -> None:
    hidden = data.draw(st.integers(2, 12), label="H")
    x = random_input(data, 4)
    projected = data.draw(st.integers(1, hidden - 1), label="R")
    module = torch.nn.LSTM(4, hidden, num_layers=2, proj_size=projected).double()
    assert relative(run_module(module, x, device).y, module(torch.from_numpy(x).double())[0]) < BOUND


def lstm_tensors(module: Any) -> dict[str, np.ndarray]:
    (layer,) = from_module(module)
    return layer.tensors


@pytest.mark.parametrize("device", ["plan", "sim"])
@DRAWN
@given(data=st.data())
def test_two_lstms_with_residuals_and_a_dense_layer(device: str, data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 12), label="H")
    x = random_input(data, size)
    lower, upper = (torch.nn.LSTM(size, size).double() for _ in "12")
    dense = torch.nn.Linear(size, 3).double()
    text = (EXAMPLES / "models/residual.sprnn").read_text().replace("sparse(0.1)", "as_stored")
    text = text.replace("32", str(size)).replace("O=10", "O=3")
    tensors = {f"lower.{n}": t for n, t in lstm_tensors(lower).items()}
    tensors |= {f"upper.{n}": t for n, t in lstm_tensors(upper).items()}
    tensors |= {"dense.W": dense.weight.detach().numpy(), "dense.b": dense.bias.detach().numpy()}
    artifact = sprnnc.compile(
        text, weights={n: t.astype(np.float32) for n, t in tensors.items()}, batch=x.shape[1], target="sim"
    )
    given_x = torch.from_numpy(x).double()
    first = given_x + lower(given_x)[0]
    wanted = dense(first + upper(first)[0])
    assert relative(sprnnc.execute(artifact, x, device=device).y, wanted) < BOUND


@pytest.mark.parametrize("device", ["plan", "sim"])
@DRAWN
@given(data=st.data())
def test_three_different_cells_directions_added(device: str, data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 10), label="H")
    x = random_input(data, 6)
    gru, back = torch.nn.GRU(6, size).double(), torch.nn.RNN(6, size, nonlinearity="relu").double()
    lstm = torch.nn.LSTM(size, 4).double()
    imported = {name: from_module(m)[0] for name, m in (("g", gru), ("r", back), ("l", lstm))}
    cells = [i.source.split("model ")[0] for i in imported.values()]
    layers = f"layer g = GRU(I=6, H={size}) on x\n  layer r = RNNReLU(I=6, H={size}) reverse on x\n"
    layers += f"  layer l = LSTM(I={size}, H=4) on g + r\n  output l"
    tensors = {f"{name}.{n}": t for name, i in imported.items() for n, t in i.tensors.items()}
    text = "".join(cells) + f"model three {{\n  input x[6]\n  {layers}\n}}\n"
    artifact = sprnnc.compile(text, weights=tensors, batch=x.shape[1], target="sim")
    given_x = torch.from_numpy(x).double()
    added = gru(given_x)[0] + back(given_x.flip(0))[0].flip(0)
    assert relative(sprnnc.execute(artifact, x, device=device).y, lstm(added)[0]) < BOUND


@pytest.mark.parametrize("device", ["plan", "sim"])
@DRAWN
@given(data=st.data())
def test_an_embedding_and_a_dense_layer_at_the_ends(device: str, data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 10), label="E")
    x = random_input(data, 1)
    numbers = np.random.default_rng(len(x)).integers(0, 20, x.shape)
    embedding, dense = torch.nn.Embedding(20, size).double(), torch.nn.Linear(24, 10).double()
    gru = torch.nn.GRU(size, 24, bidirectional=True).double()
    tensors = {"tags.W": dense.weight, "tags.b": dense.bias, "words.table": embedding.weight}
    weights = {name: t.detach().numpy().astype(np.float32) for name, t in tensors.items()}
    for name, layer in zip(("there", "back"), from_module(gru), strict=True):
        weights |= {f"{name}.{n.replace('bun', 'bu')}": t for n, t in layer.tensors.items()}
    text = (EXAMPLES / "models/tagger.sprnn").read_text().replace("sparse(0.2)", "as_stored")
    text = text.replace("[500, 16]", f"[20, {size}]").replace("I=16", f"I={size}")
    artifact = sprnnc.compile(text, weights=weights, batch=x.shape[1], target="sim")
    y, _ = gru(embedding(torch.from_numpy(numbers[:, :, 0])))
    wanted = dense(y[:, :, :24] + y[:, :, 24:])
    assert relative(sprnnc.execute(artifact, numbers.astype(np.float32), device=device).y, wanted) < BOUND
