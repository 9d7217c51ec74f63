"""ONNX graphs as exporters write them: gates put in order, states of zeros, layers on layers, lengths."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from pytorch_state import run_imported
from test_onnx import BATCH, HIDDEN, INPUTS, STEPS, X, evaluated, imported, model_of, parameters

import sprnnc
from sprnnc.diagnostics import CompileError
from sprnnc.importing import import_file, onnx_constants, whole_models


def with_nodes(model: onnx.ModelProto, *nodes: Any, without: tuple[str, ...] = ()) -> onnx.ModelProto:
    """``nodes`` before the others, and ``without`` some initializers."""
    kept = [t for t in model.graph.initializer if t.name not in without]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    everything = [*nodes, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(everything)
    return model


def constant(name: str, values: Any) -> Any:
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.asarray(values), name))


def test_gates_that_the_graph_puts_in_order_are_read(tmp_path: Path) -> None:
    tensors = parameters("LSTM", 1)
    i, o, f, c = np.split(tensors["W"][0], 4)
    nodes = [
        constant("ifco", np.concatenate([i, f, c, o])),  # as PyTorch has them
        *(constant(str(n), np.array([n * HIDDEN])) for n in range(5)),
        constant("axis", np.array([0])),
        helper.make_node("Slice", ["ifco", "0", "1", "axis"], ["wi"]),
        helper.make_node("Slice", ["ifco", "3", "4", "axis"], ["wo"]),
        helper.make_node("Slice", ["ifco", "1", "3", "axis"], ["wfc"]),
        helper.make_node("Concat", ["wi", "wo", "wfc"], ["w"], axis=0),
        helper.make_node("Unsqueeze", ["w", "axis"], ["W"]),
    ]
    model = with_nodes(model_of("LSTM", tensors), *nodes, without=("W",))
    (layer,) = imported(model, tmp_path)
    (expected,) = imported(model_of("LSTM", tensors), tmp_path)
    for name, tensor in expected.tensors.items():
        np.testing.assert_array_equal(layer.tensors[name], tensor)


def moved_weights() -> onnx.ModelProto:
    """A GRU whose W goes through every move."""
    tensors = parameters("GRU", 1)
    nodes = [
        constant("stored", tensors["W"].transpose(2, 0, 1)[:, :, ::-1].copy()),
        helper.make_node("Transpose", ["stored"], ["turned"], perm=[1, 2, 0]),
        constant("shape", np.array([0, 3, -1, INPUTS])),
        helper.make_node("Reshape", ["turned", "shape"], ["gates"]),
        constant("parts", np.array([1, 2])),
        helper.make_node("Split", ["gates", "parts"], ["first", "others"], axis=1),
        helper.make_node("Concat", ["others", "first"], ["joined"], axis=-3),
        constant("one", np.array([0, -1, INPUTS])),
        helper.make_node("Reshape", ["joined", "one"], ["w3"]),
        helper.make_node("Squeeze", ["w3"], ["w2"]),
        constant("zero", np.array([0])),
        helper.make_node("Unsqueeze", ["w2", "zero"], ["w"]),
        helper.make_node("Identity", ["w"], ["same"]),
        helper.make_node("Cast", ["same"], ["half"], to=TensorProto.FLOAT16),
        helper.make_node("Cast", ["half"], ["W"], to=TensorProto.FLOAT),
    ]
    model = with_nodes(model_of("GRU", tensors), *nodes, without=("W",))
    model.opset_import[0].version = 17
    return model


def test_every_move_gives_what_the_evaluator_gives(tmp_path: Path) -> None:
    model = moved_weights()
    (layer,) = imported(model, tmp_path)
    expected = evaluated(model, X)
    got = run_imported([layer], X)
    assert np.linalg.norm(got - expected) / np.linalg.norm(expected) < 1e-6


def test_what_is_computed_is_not_put_together(tmp_path: Path) -> None:
    nodes = [constant("stored", parameters("GRU", 1)["W"]), helper.make_node("Relu", ["stored"], ["W"])]
    model = with_nodes(model_of("GRU", parameters("GRU", 1)), *nodes, without=("W",))
    with pytest.raises(CompileError, match="W of GRU 'rnn' is computed from 'W'"):
        imported(model, tmp_path)


@pytest.mark.parametrize(
    "nodes",
    [
        [helper.make_node("Concat", [f"w{n}"] * 2, [f"w{n + 1}"], axis=0) for n in range(40)]
        + [helper.make_node("Identity", ["w40"], ["W"])],
        [constant("shape", np.array([7, 7])), helper.make_node("Reshape", ["w0", "shape"], ["W"])],
        [helper.make_node("Transpose", ["w0"], ["W"], perm=[0, 1, 5])],
        [helper.make_node("Concat", ["w0", "w0"], ["W"], axis=9)],
        [helper.make_node("Split", ["w0"], ["W", "V"], axis=2, num_outputs=2)],
    ],
    ids=["grows", "reshape", "transpose", "axis", "split"],
)
def test_moves_that_cannot_be_are_refused(nodes: list[Any], tmp_path: Path) -> None:
    tensors = parameters("GRU", 1)
    model = with_nodes(model_of("GRU", tensors), constant("w0", tensors["W"]), *nodes, without=("W",))
    with pytest.raises(CompileError, match=r"E702.*'W' cannot be put together from stored tensors"):
        imported(model, tmp_path)


def test_names_that_refer_to_each_other_end(tmp_path: Path) -> None:
    nodes = [helper.make_node("Identity", ["V"], ["W"]), helper.make_node("Identity", ["W"], ["V"])]
    model = with_nodes(model_of("GRU", parameters("GRU", 1)), *nodes, without=("W",))
    with pytest.raises(CompileError, match="computed from 'W'"):
        imported(model, tmp_path)


def test_states_of_zeros_are_not_asked_for(tmp_path: Path) -> None:
    model = model_of("LSTM", parameters("LSTM", 1), extra=("initial_h", "initial_c"))
    nodes = [
        helper.make_node("ConstantOfShape", ["size"], ["zeros"]),
        helper.make_node("Expand", ["zeros", "size"], ["initial_h"]),
        constant("ones", np.ones((1, BATCH, HIDDEN), np.float32)),
        helper.make_node("Concat", ["zeros", "ones"], ["initial_c"], axis=0),
    ]
    del model.graph.input[1:]
    (layer,) = imported(with_nodes(model, *nodes), tmp_path)
    (note,) = layer.notes
    assert note.startswith("initial_c comes from 'initial_c'")


def two_layers(between: list[Any], ways: int = 1, inputs: int = HIDDEN) -> onnx.ModelProto:
    """An LSTM, ``between`` from "Y" to "Z", and another one."""
    direction = "bidirectional" if ways == 2 else "forward"
    model = model_of("LSTM", parameters("LSTM", ways), direction=direction)
    upper = parameters("LSTM", 1) | {"W": np.ones((1, 4 * HIDDEN, inputs), np.float32) * 0.1}
    model.graph.initializer.extend(numpy_helper.from_array(t, f"2{n}") for n, t in upper.items())
    node = helper.make_node("LSTM", ["Z", "2W", "2R", "2B"], ["Y2"], name="top", hidden_size=HIDDEN)
    model.graph.node.extend([*between, node])
    return model


NO_LAYER = helper.make_node("Relu", ["s"], ["Z"])
SQUEEZE = [constant("axis", np.array([1])), helper.make_node("Squeeze", ["Y", "axis"], ["Z"])]
MERGE = [
    helper.make_node("Transpose", ["Y"], ["t"], perm=[0, 2, 1, 3]),
    constant("shape", np.array([0, 0, -1])),
    helper.make_node("Reshape", ["t", "shape"], ["Z"]),
]


@pytest.mark.parametrize(("between", "ways"), [(SQUEEZE, 1), (MERGE, 1), (MERGE, 2)])
def test_a_node_on_another_one_lies_on_its_stack(between: list[Any], ways: int, tmp_path: Path) -> None:
    layers = imported(two_layers(between, ways, ways * HIDDEN), tmp_path)
    assert [(layer.stack, layer.depth) for layer in layers] == [("rnn", 0)] * ways + [("rnn", 1)]
    y = run_imported(layers, X)
    assert y.shape == (STEPS, BATCH, HIDDEN)
    (model,) = whole_models(layers)
    artifact = sprnnc.compile(model.source, weights=model.tensors, batch=BATCH, target="sim")
    np.testing.assert_allclose(sprnnc.execute(artifact, X, device="plan").y, y, atol=1e-6)


@pytest.mark.parametrize(
    "between",
    [
        [
            *SQUEEZE[:1],
            helper.make_node("Squeeze", ["Y", "axis"], ["s"]),
            helper.make_node("Relu", ["s"], ["Z"]),
        ],
        [helper.make_node("Transpose", ["Y"], ["Z"], perm=[2, 1, 0, 3])],
    ],
)
def test_a_node_on_something_else_begins_a_stack(between: list[Any], tmp_path: Path) -> None:
    layers = imported(two_layers(between), tmp_path)
    assert [(layer.stack, layer.depth) for layer in layers] == [("rnn", 0), ("top", 0)]


def test_two_nodes_on_one_do_not_become_directions(tmp_path: Path) -> None:
    model = two_layers(SQUEEZE)
    second = helper.make_node("LSTM", ["Z", "2W", "2R", "2B"], ["Y3"], name="other", hidden_size=HIDDEN)
    model.graph.node.append(second)
    layers = imported(model, tmp_path)
    assert [(layer.stack, layer.depth) for layer in layers] == [("rnn", 0), ("rnn", 1), ("other", 0)]


def test_nodes_are_chosen_by_name(tmp_path: Path, command: Any) -> None:
    model = two_layers(SQUEEZE)
    model.graph.node[0].attribute.append(helper.make_attribute("clip", 1.0))  # "rnn" alone is refused
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(CompileError, match="has clip"):
        import_file(tmp_path / "m.onnx")
    for wanted in ("top", "t*"):
        assert [layer.name for layer in import_file(tmp_path / "m.onnx", only=[wanted])] == ["top"]
    code, _, err = command("import", "m.onnx", "-o", "m", "--only", "top", "--only", "bottom")
    assert code == 1 and "no recurrent node in m.onnx called 'bottom'" in err and "there are rnn, top" in err
    assert not Path("m").exists()
    assert command("import", "m.onnx", "-o", "m", "--only", "top")[0] == 0


def test_nodes_of_one_name_are_chosen_by_their_numbers(tmp_path: Path) -> None:
    model = two_layers(SQUEEZE)
    model.graph.node[-1].name = "rnn"
    onnx.save(model, tmp_path / "m.onnx")
    assert len(import_file(tmp_path / "m.onnx", only=["rnn"])) == 2
    (layer,) = import_file(tmp_path / "m.onnx", only=["rnn_2"])
    np.testing.assert_allclose(layer.tensors["Wi"], 0.1)


def test_lengths_are_stored_or_asked_for(tmp_path: Path) -> None:
    (given,) = imported(model_of("LSTM", parameters("LSTM", 1), extra=("sequence_lens",)), tmp_path)
    assert given.lengths == () and "columns end at 'sequence_lens'" in given.notes[0]
    lengths = np.array([STEPS, 3], np.int32)
    tensors = parameters("LSTM", 2) | {"sequence_lens": lengths}
    both = imported(model_of("LSTM", tensors, direction="bidirectional"), tmp_path)
    assert both[1].lengths == (STEPS, 3) and "columns end after 7, 3 steps" in both[1].notes[0]
    del tensors["sequence_lens"]
    plain = imported(model_of("LSTM", tensors, direction="bidirectional"), tmp_path)
    y = run_imported(both, X)
    np.testing.assert_allclose(y[:, :1], run_imported(plain, X[:, :1]), atol=1e-12)
    np.testing.assert_allclose(y[:3, 1:], run_imported(plain, X[:3, 1:]), atol=1e-12)
    assert not y[3:, 1].any()


@pytest.mark.parametrize("lengths", [np.array([[3, 3]]), np.array([-1, 2]), np.array([], np.int32)])
def test_lengths_that_cannot_be_are_refused(lengths: Any, tmp_path: Path) -> None:
    tensors = parameters("LSTM", 1) | {"sequence_lens": lengths}
    with pytest.raises(CompileError, match=r"E702.*sequence_lens of 'rnn'"):
        imported(model_of("LSTM", tensors), tmp_path)
    with pytest.raises(CompileError, match="E306"):
        imported(model_of("LSTM", tensors | {"sequence_lens": np.ones(2, np.float32)}), tmp_path)


def test_onnxruntime_means_the_same_by_lengths(tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    lengths = np.array([STEPS, 3], np.int32)
    tensors = parameters("LSTM", 2, peepholes=True) | {"sequence_lens": lengths}
    model = model_of("LSTM", tensors, direction="bidirectional")
    model.ir_version, model.opset_import[0].version = 8, 17
    layers = imported(model, tmp_path)
    (y,) = runtime.InferenceSession(model.SerializeToString()).run(None, {"X": X.astype(np.float32)})
    expected = np.asarray(y).transpose(0, 2, 1, 3).reshape(STEPS, BATCH, -1)
    np.testing.assert_allclose(run_imported(layers, X), expected, atol=2e-6)


def test_what_is_moved_is_a_list_that_copies_only() -> None:
    assert not {"Add", "Mul", "MatMul", "Expand", "Tile", "If", "Loop"} & set(onnx_constants._MOVES)


@pytest.mark.parametrize("number", [0, 7, 45])
def test_weights_that_are_cast_to_no_float_are_computed(number: int, tmp_path: Path) -> None:
    tensors = parameters("GRU", 1)
    nodes = [constant("w", tensors["W"]), helper.make_node("Cast", ["w"], ["W"], to=number)]
    with pytest.raises(CompileError, match="W of GRU 'rnn' is computed from 'W'"):
        imported(with_nodes(model_of("GRU", tensors), *nodes, without=("W",)), tmp_path)


@pytest.mark.parametrize("outputs", [[], [""], ["", "h"]])
def test_a_node_without_a_sequence_feeds_none(outputs: list[str], tmp_path: Path) -> None:
    model = two_layers(SQUEEZE)
    del model.graph.node[0].output[:]
    model.graph.node[0].output.extend(outputs)
    assert [(layer.depth, layer.stack) for layer in imported(model, tmp_path)] == [(0, "rnn"), (0, "top")]
