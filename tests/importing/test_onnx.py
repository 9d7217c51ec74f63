"""ONNX models: nodes are found and compute what the ONNX reference evaluator does; the rest is refused."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from pytorch_state import run_imported

from sprnnc.diagnostics import CompileError
from sprnnc.importing import ImportedLayer, import_file

STEPS, BATCH, INPUTS, HIDDEN = 7, 2, 5, 6
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
Arrays = dict[str, NDArray[Any]]


def parameters(operator: str, ways: int, bias: bool = True, peepholes: bool = False) -> Arrays:
    rng = np.random.default_rng(0)
    rows = GATES[operator] * HIDDEN
    shapes: dict[str, tuple[int, ...]] = {"W": (ways, rows, INPUTS), "R": (ways, rows, HIDDEN)}
    if bias:
        shapes["B"] = (ways, 2 * rows)
    if peepholes:
        shapes["P"] = (ways, 3 * HIDDEN)
    return {n: (rng.standard_normal(s) / np.sqrt(s[-1])).astype(np.float32) for n, s in shapes.items()}


def model_of(
    operator: str, tensors: Arrays, name: str = "rnn", extra: tuple[str, ...] = (), **attributes: Any
) -> onnx.ModelProto:
    """One node; ``tensors`` by the names of its inputs become initializers, ``extra`` inputs of the graph."""
    order = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")
    inputs = [n if n in tensors or n in extra or n == "X" else "" for n in order]
    while not inputs[-1]:
        inputs.pop()
    node = helper.make_node(operator, inputs, ["Y"], name=name, hidden_size=HIDDEN, **attributes)
    kinds = {"sequence_lens": TensorProto.INT32}
    declared = [
        helper.make_tensor_value_info(n, kinds.get(n, TensorProto.FLOAT), None) for n in ("X", *extra)
    ]
    result = helper.make_tensor_value_info("Y", TensorProto.FLOAT, None)
    stored = [numpy_helper.from_array(t, n) for n, t in tensors.items()]
    return helper.make_model(helper.make_graph([node], "g", declared, [result], stored))


def imported(model: onnx.ModelProto, folder: Path) -> list[ImportedLayer]:
    onnx.save(model, folder / "m.onnx")
    return import_file(folder / "m.onnx")


def evaluated(model: onnx.ModelProto, x: NDArray[Any]) -> NDArray[Any]:
    """Y as [T, B, D H]; the evaluator works in float32, and for layout 1 expects [B, T, I]."""
    y = ReferenceEvaluator(model).run(None, {"X": x.astype(np.float32)})[0]
    return np.asarray(y).transpose(0, 2, 1, 3).reshape(STEPS, BATCH, -1)


X = np.random.default_rng(1).standard_normal((STEPS, BATCH, INPUTS))
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("LSTM", {}),
    ("GRU", {"linear_before_reset": 0}),
    ("GRU", {"linear_before_reset": 1}),
    ("RNN", {}),
    ("RNN", {"activations": ["Tanh"]}),
]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("direction", ["forward", "reverse"])
@pytest.mark.parametrize(("operator", "attributes"), VARIANTS)
def test_a_node_agrees_with_the_reference_evaluator(
    operator: str, attributes: dict[str, Any], direction: str, bias: bool, tmp_path: Path
) -> None:
    tensors = parameters(operator, 1, bias)
    (layer,) = imported(model_of(operator, tensors, direction=direction, **attributes), tmp_path)
    assert layer.reverse == (direction == "reverse")
    # the evaluator knows one direction: the other one is the same node on a turned sequence
    forward = model_of(operator, tensors, direction="forward", **attributes)
    turn = -1 if layer.reverse else 1
    expected = evaluated(forward, X[::turn])[::turn]
    got = run_imported([layer], X)
    assert np.linalg.norm(got - expected) / np.linalg.norm(expected) < 1e-6


def test_peepholes_agree_with_the_reference_evaluator(tmp_path: Path) -> None:
    model = model_of("LSTM", parameters("LSTM", 1, peepholes=True))
    (layer,) = imported(model, tmp_path)
    expected = evaluated(model, X)
    got = run_imported([layer], X)
    assert "po * c'" in layer.source
    assert np.linalg.norm(got - expected) / np.linalg.norm(expected) < 1e-6


@pytest.mark.parametrize("operator", GATES)
def test_both_directions_take_their_own_halves(operator: str, tmp_path: Path) -> None:
    tensors = parameters(operator, 2)
    both = imported(model_of(operator, tensors, direction="bidirectional"), tmp_path)
    assert [layer.reverse for layer in both] == [False, True]
    assert [layer.name for layer in both] == ["rnn", "rnn_reverse"]
    for at, direction in enumerate(("forward", "reverse")):
        half = {name: t[at : at + 1] for name, t in tensors.items()}
        (alone,) = imported(model_of(operator, half, direction=direction), tmp_path)
        for name, tensor in alone.tensors.items():
            np.testing.assert_array_equal(both[at].tensors[name], tensor)


def test_an_rnn_may_have_relu_in_one_direction(tmp_path: Path) -> None:
    tensors = parameters("RNN", 2)
    both = imported(
        model_of("RNN", tensors, direction="bidirectional", activations=["Relu", "Tanh"]), tmp_path
    )
    assert ["relu(" in layer.source for layer in both] == [True, False]


@pytest.mark.parametrize("layout", [0, 1])
def test_initial_states_are_written_or_asked_for(layout: int, tmp_path: Path, command) -> None:
    tensors = parameters("LSTM", 1)
    h = np.random.default_rng(2).standard_normal((1, BATCH, HIDDEN)).astype(np.float32)
    tensors["initial_h"] = h.swapaxes(0, 1) if layout else h
    model = model_of("LSTM", tensors, extra=("initial_c",), layout=layout)
    (layer,) = imported(model, tmp_path)
    np.testing.assert_array_equal(layer.initial["h"], h[0])
    code, out, err = command("import", tmp_path / "m.onnx", "-o", "m")
    assert (code, err) == (0, "")
    assert "initial_c comes from 'initial_c': give it as the state" in out
    assert sorted(os.listdir("m")) == ["rnn.safetensors", "rnn.sprnn", "rnn.state.safetensors"]


def test_initial_states_of_zero_need_no_file(tmp_path: Path) -> None:
    tensors = parameters("GRU", 1) | {"initial_h": np.zeros((1, 1, HIDDEN), np.float32)}
    (layer,) = imported(model_of("GRU", tensors), tmp_path)
    assert layer.initial == {} and layer.notes == ()


def test_nodes_in_branches_see_the_constants_around_them(tmp_path: Path) -> None:
    inner = model_of("LSTM", {}, extra=("W", "R")).graph
    del inner.input[:]
    outer = model_of("LSTM", parameters("LSTM", 1, bias=False))
    branch = helper.make_node("If", ["c"], ["Z"], then_branch=inner, else_branch=inner)
    outer.graph.node[0].CopyFrom(branch)
    assert [layer.name for layer in imported(outer, tmp_path)] == ["rnn", "rnn_2"]


def test_constant_nodes_and_their_copies_count_as_stored(tmp_path: Path) -> None:
    tensors = parameters("GRU", 1)
    model = model_of("GRU", tensors)
    kept = [t for t in model.graph.initializer if t.name != "W"]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    value = numpy_helper.from_array(tensors["W"], "value")
    nodes = [
        helper.make_node("Constant", [], ["W0"], value=value),
        helper.make_node("Identity", ["W0"], ["W"]),
        *model.graph.node,
    ]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    (layer,) = imported(model, tmp_path)
    np.testing.assert_array_equal(layer.tensors["Wz"], tensors["W"][0, :HIDDEN])


@pytest.mark.parametrize(
    ("operator", "attributes", "words"),
    [
        ("LSTM", {"clip": 3.0}, "has clip"),
        ("LSTM", {"input_forget": 1}, "has input_forget = 1"),
        ("LSTM", {"activations": ["HardSigmoid", "Tanh", "Tanh"]}, "has activations hardsigmoid, tanh, tanh"),
        ("GRU", {"activations": ["Sigmoid", "Relu"]}, "has activations sigmoid, relu"),
        ("RNN", {"activations": ["Elu"]}, "those of an imported RNN are tanh (or relu)"),
        ("GRU", {"direction": "sideways"}, "has direction 'sideways'"),
        ("GRU", {"zoneout": 1}, "has the attribute 'zoneout'"),
        ("GRU", {"layout": 2}, "has layout 2"),
    ],
)
def test_what_no_cell_expresses_is_named(
    operator: str, attributes: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(CompileError) as raised:
        imported(model_of(operator, parameters(operator, 1), **attributes), tmp_path)
    assert "E703" in str(raised.value) and words in str(raised.value)


def test_mismatched_shapes_name_the_tensor(tmp_path: Path) -> None:
    tensors = parameters("GRU", 1)
    tensors["R"] = tensors["R"][:, :, 1:]
    tensors["B"] = tensors["B"][:, 1:]
    with pytest.raises(CompileError) as raised:
        imported(model_of("GRU", tensors), tmp_path)
    assert "tensor 'R', R of GRU 'rnn', has shape [1, 18, 5], expected [1, 18, 6]" in str(raised.value)
    assert "tensor 'B'" in str(raised.value)


def test_computed_weights_and_integers_are_refused(tmp_path: Path) -> None:
    tensors = parameters("GRU", 1)
    with pytest.raises(CompileError, match="W of GRU 'rnn' is computed from 'W'"):
        imported(model_of("GRU", {"R": tensors["R"]}, extra=("W",)), tmp_path)
    with pytest.raises(CompileError, match="E306"):
        imported(model_of("GRU", tensors | {"W": np.zeros((1, 18, 5), np.int8)}), tmp_path)


def test_a_model_without_recurrent_nodes_lists_its_operators(tmp_path: Path) -> None:
    node = helper.make_node("DynamicQuantizeLSTM", ["X"], ["Y"], domain="com.microsoft")
    info = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in "XY"]
    model = helper.make_model(
        helper.make_graph([node, helper.make_node("Relu", ["X"], ["Z"])], "g", info, [])
    )
    with pytest.raises(CompileError) as raised:
        imported(model, tmp_path)
    assert "its operators are com.microsoft.DynamicQuantizeLSTM, Relu" in str(raised.value)
    assert "LSTM, GRU, RNN nodes are imported" in str(raised.value)
    assert "dynamo=False" in str(raised.value)


def with_external_data(folder: Path, location: str, **entries: str) -> Path:
    """A model whose W lies in another file."""
    model = model_of("GRU", parameters("GRU", 1))
    w = next(t for t in model.graph.initializer if t.name == "W")
    data, w.data_location = w.raw_data, TensorProto.EXTERNAL
    w.ClearField("raw_data")
    for key, value in {"location": location, **entries}.items():
        w.external_data.add(key=key, value=value)
    folder.mkdir(exist_ok=True)
    (folder / "m.onnx").write_bytes(model.SerializeToString())
    (folder / "w.bin").write_bytes(b"1234" + data)
    (folder.parent / "w.bin").write_bytes(data)
    return folder / "m.onnx"


def test_external_data_beside_the_model_are_read(tmp_path: Path) -> None:
    (layer,) = import_file(with_external_data(tmp_path / "m", "w.bin", offset="4"))
    np.testing.assert_array_equal(layer.tensors["Wz"], parameters("GRU", 1)["W"][0, :HIDDEN])


@pytest.mark.parametrize("location", ["../w.bin", "/etc/passwd", "nowhere.bin", "", "link.bin"])
def test_external_data_elsewhere_are_refused(location: str, tmp_path: Path) -> None:
    path = with_external_data(tmp_path / "m", location)
    (tmp_path / "m/link.bin").symlink_to(tmp_path / "w.bin")
    with pytest.raises(CompileError, match="no file inside the model's folder"):
        import_file(path)


@pytest.mark.parametrize("entries", [{"offset": "8"}, {"offset": "-1"}, {"offset": "x"}, {"length": "3"}])
def test_external_data_that_do_not_fit_are_refused(entries: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(CompileError, match="E302"):
        import_file(with_external_data(tmp_path / "m", "w.bin", **entries))


@pytest.mark.parametrize("data", [b"", b"no model", b"\x0a\xff\xff", b"\x08\x07"])
def test_files_that_are_no_models_are_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(data)
    with pytest.raises(CompileError, match="E302"):
        import_file(tmp_path / "m.onnx")


def test_names_that_are_no_text_are_refused(tmp_path: Path) -> None:
    data = model_of("GRU", parameters("GRU", 1), name="speech").SerializeToString()
    (tmp_path / "m.onnx").write_bytes(data.replace(b"speech", b"\xff\xfeeech"))
    with pytest.raises(CompileError, match="not UTF-8"):
        import_file(tmp_path / "m.onnx")


def test_without_the_onnx_package_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    onnx.save(model_of("GRU", parameters("GRU", 1)), tmp_path / "m.onnx")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(CompileError, match=r"E704(.|\n)*pip install 'sprnnc\[import\]'"):
        import_file(tmp_path / "m.onnx")


@pytest.mark.parametrize("number", [0, 8, 99])
def test_types_that_are_none_are_refused(number: int, tmp_path: Path) -> None:
    model = model_of("GRU", parameters("GRU", 1))
    model.graph.initializer[0].data_type = number
    with pytest.raises(CompileError, match="E306"):
        imported(model, tmp_path)


def test_a_truncated_initializer_is_refused(tmp_path: Path) -> None:
    model = model_of("GRU", parameters("GRU", 1))
    model.graph.initializer[0].raw_data = model.graph.initializer[0].raw_data[:-4]
    with pytest.raises(CompileError, match="cannot read tensor 'W'"):
        imported(model, tmp_path)
