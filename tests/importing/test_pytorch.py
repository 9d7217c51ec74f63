"""State_dicts of PyTorch: layers are found, converted, and compute what PyTorch's documentation says."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from pytorch_state import GATES, documented, random_state, run_imported
from safetensors.numpy import save_file

from sprnnc.cell.weights import expected_shapes
from sprnnc.diagnostics import CompileError
from sprnnc.importing import from_state_dict, import_file
from sprnnc.language.check import check
from sprnnc.language.parse import parse

STEPS, BATCH, INPUTS = 9, 2, 5

CONFIGURATIONS = [
    (kind, layers, both, bias, projection)
    for kind, layers, both, bias, projection in itertools.product(
        GATES, (1, 3), (False, True), (False, True), (0, 4)
    )
    if not projection or kind == "LSTM"
]


@pytest.mark.parametrize(("kind", "layers", "both", "bias", "projection"), CONFIGURATIONS)
def test_a_stack_computes_what_the_documentation_says(
    kind: str, layers: int, both: bool, bias: bool, projection: int
) -> None:
    state = random_state(
        kind, INPUTS, 7, layers=layers, both=both, bias=bias, projection=projection, prefix="rnn."
    )
    imported = from_state_dict(state, kind if kind in ("tanh", "relu") else None)
    assert len(imported) == layers * (1 + both)
    x = np.random.default_rng(1).standard_normal((STEPS, BATCH, INPUTS))
    expected = documented(kind, state, x, "rnn.")
    got = run_imported(imported, x)
    assert np.linalg.norm(got - expected) / np.linalg.norm(expected) < 3e-7  # biases are added, then rounded
    if not bias:  # nothing but a permutation: only the order of sums differs
        np.testing.assert_allclose(got, expected, rtol=1e-11, atol=1e-13)


def test_matrices_and_biases_are_taken_over_bit_by_bit() -> None:
    state = random_state("GRU", 3, 4)
    (layer,) = from_state_dict(state)
    w, u = state["weight_ih_l0"], state["weight_hh_l0"]
    for at, gate in enumerate("rzn"):
        np.testing.assert_array_equal(layer.tensors[f"W{gate}"], w[4 * at : 4 * at + 4])
        np.testing.assert_array_equal(layer.tensors[f"U{gate}"], u[4 * at : 4 * at + 4])
    np.testing.assert_array_equal(layer.tensors["bn"], state["bias_ih_l0"][8:])
    np.testing.assert_array_equal(layer.tensors["bun"], state["bias_hh_l0"][8:])
    total = state["bias_ih_l0"].astype(np.float64) + state["bias_hh_l0"]
    np.testing.assert_array_equal(layer.tensors["br"], total[:4].astype(np.float32))


@pytest.mark.parametrize("kind", GATES)
def test_the_written_text_declares_what_the_file_holds(kind: str) -> None:
    (layer,) = from_state_dict(random_state(kind, 3, 4), "tanh" if kind == "tanh" else "relu")
    cell = check(parse(layer.source)).cell
    assert expected_shapes(cell) == {name: t.shape for name, t in layer.tensors.items()}
    assert layer.error < 1e-7


def test_names_tell_stack_layer_and_direction() -> None:
    state = random_state("LSTM", 3, 4, layers=2, both=True, prefix="model.encoder.")
    state |= random_state("GRU", 3, 4, prefix="2.")
    state["head.weight"] = np.zeros((2, 8), np.float32)
    layers = from_state_dict(state)
    assert [layer.name for layer in layers] == [
        "model_encoder_l0",
        "model_encoder_l0_reverse",
        "model_encoder_l1",
        "model_encoder_l1_reverse",
        "layer_2_l0",
    ]
    assert [layer.reverse for layer in layers] == [False, True, False, True, False]
    assert [layer.depth for layer in layers] == [0, 0, 1, 1, 0]


def test_prefixes_that_look_alike_get_names_that_differ() -> None:
    state = random_state("GRU", 3, 4, prefix="a.b.") | random_state("GRU", 3, 4, prefix="a_b.")
    assert [layer.name for layer in from_state_dict(state)] == ["a_b_l0", "a_b_l0_2"]


def test_a_cell_module_is_a_layer_too() -> None:
    state = {name.replace("_l0", ""): t for name, t in random_state("LSTM", 3, 4).items()}
    assert [layer.name for layer in from_state_dict(state)] == ["lstm"]


def test_masks_of_torch_prune_are_applied_and_declared() -> None:
    state = random_state("LSTM", 8, 16)
    mask = (np.random.default_rng(0).random((64, 16)) < 0.25).astype(np.float32)
    dense = state.pop("weight_hh_l0")
    masked = dict(state, weight_hh_l0_orig=dense, weight_hh_l0_mask=mask)
    (layer,) = from_state_dict(masked)
    np.testing.assert_array_equal(layer.tensors["Ui"], (dense * mask)[:16])
    assert "Ui[H, H]  sparse(0." in layer.source


def test_a_mask_that_does_not_fit_is_named() -> None:
    state = random_state("LSTM", 3, 4)
    state["weight_hh_l0_orig"] = state.pop("weight_hh_l0")
    with pytest.raises(CompileError, match=r"E702.*_mask' has shape \[4, 4\], expected \[16, 4\]"):
        from_state_dict(state | {"weight_hh_l0_mask": np.zeros((4, 4), np.float32)})


@pytest.mark.parametrize("found", ["text", None, {"a": 1}, [[1], [1, 2]]])
def test_what_is_no_tensor_is_named(found: object) -> None:
    with pytest.raises(CompileError, match=r"E306.*'weight_hh_l0' cannot be read as numbers"):
        from_state_dict({**random_state("LSTM", 3, 4), "weight_hh_l0": found})


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"weight_hh_l0": (16, 5)}, "E702", "'weight_hh_l0' has shape [16, 5]"),
        ({"weight_ih_l0": (15, 3)}, "E702", "'weight_ih_l0' has shape [15, 3], expected [16, 3]"),
        ({"weight_ih_l0": (16,)}, "E702", "'weight_ih_l0' has shape [16]"),
        ({"weight_ih_l0": (16, 0)}, "E702", "'weight_ih_l0' has shape [16, 0]"),
        ({"bias_hh_l0": (12,)}, "E702", "'bias_hh_l0' has shape [12], expected [16]"),
        ({"bias_hh_l0": None}, "E702", "'bias_hh_l0' is missing"),
        ({"weight_hh_l0": None}, "E702", "'weight_hh_l0' is missing"),
        ({"weight_ih_l0": None, "weight_hh_l0": None}, "E702", "'weight_ih_l0' is missing"),
        ({"weight_hr_l0": (3, 4)}, "E702", "'weight_hr_l0' has shape [3, 4], expected [4, 4]"),
        ({"weight_hh_l0": ()}, "E702", "'weight_hh_l0' has shape []"),
        ({"weight_hh_l0": (0, 0)}, "E702", "'weight_hh_l0' has shape [0, 0]"),
    ],
)
def test_tensors_that_do_not_fit_are_named(
    change: dict[str, tuple[int, ...] | None], code: str, words: str
) -> None:
    state = random_state("LSTM", 3, 4)
    for name, shape in change.items():
        state.pop(name, None)
        if shape is not None:
            state[name] = np.ones(shape, np.float32)
    with pytest.raises(CompileError) as raised:
        from_state_dict(state)
    assert code in str(raised.value) and words in str(raised.value)


def test_layers_that_do_not_fit_onto_each_other_are_named() -> None:
    state = random_state("GRU", 3, 4, layers=2)
    state["weight_ih_l1"] = np.ones((12, 8), np.float32)
    with pytest.raises(CompileError, match=r"'weight_ih_l1' has shape \[12, 8\], expected \[12, 4\]"):
        from_state_dict(state)
    below = {name: t for name, t in random_state("GRU", 3, 4, layers=3).items() if "_l1" not in name}
    with pytest.raises(CompileError, match="'weight_ih_l1' is missing"):
        from_state_dict(below)


def test_an_rnn_needs_its_nonlinearity() -> None:
    with pytest.raises(CompileError, match="do not tell"):
        from_state_dict(random_state("tanh", 3, 4))


def test_weights_that_are_no_numbers_are_refused() -> None:
    state = random_state("LSTM", 3, 4)
    state["weight_hh_l0"][0, 0] = np.nan
    with pytest.raises(CompileError, match=r"E310.*lstm_l0: tensor 'Ui' has 1 values") as raised:
        from_state_dict(state)
    assert "--allow-nan" not in str(raised.value)  # which an import does not have


def test_nothing_recurrent_says_what_is_there() -> None:
    with pytest.raises(CompileError, match=r"E701(.|\n)*it holds fc.weight"):
        from_state_dict({"fc.weight": np.zeros((3, 3)), "not_weight_hh_l0x": np.zeros(3)})


def test_modules_are_chosen_by_name(tmp_path: Path) -> None:
    state = random_state("GRU", 3, 4, prefix="enc.rnn.") | random_state("tanh", 3, 4, prefix="dec.rnn.")
    save_file(state, tmp_path / "m.safetensors")
    for wanted in ("enc.rnn", "enc*", "enc_rnn"):
        layers = import_file(tmp_path / "m.safetensors", only=[wanted])
        assert [layer.name for layer in layers] == ["enc_rnn_l0"]
    with pytest.raises(CompileError, match=r"E708(.|\n)*there are dec.rnn, enc.rnn"):
        import_file(tmp_path / "m.safetensors", only=["rnn"])
