"""Weight files as users write them: every type, every mistake named, all of them at once."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from sprnnc.diagnostics import CompileError
from sprnnc.sparsity.weight_files import check_tensors, load_tensors

SHAPES = {"Wi": (3, 4), "Wf": (3, 4), "bias": (3,)}
FLOATS = [np.float16, np.float32, np.float64]
Save = Callable[[Path, dict[str, np.ndarray]], Path]


def tensors(dtype: type = np.float32) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {name: rng.standard_normal(shape).astype(dtype) for name, shape in SHAPES.items()}


def save_npz(folder: Path, arrays: dict[str, np.ndarray]) -> Path:
    np.savez(folder / "weights.npz", **arrays)
    return folder / "weights.npz"


def save_safetensors(folder: Path, arrays: dict[str, np.ndarray]) -> Path:
    save_file(arrays, folder / "weights.safetensors", metadata={"made by": "a test"})
    return folder / "weights.safetensors"


def problems(error: pytest.ExceptionInfo[CompileError]) -> list[tuple[str, str, str]]:
    return [(d.code, d.message.split(": ", 1)[-1], d.help) for d in error.value.diagnostics]


@pytest.fixture(params=[save_npz, save_safetensors], ids=["npz", "safetensors"])
def save(request: pytest.FixtureRequest) -> Save:
    chosen: Save = request.param
    return chosen


def assert_same(got: dict[str, np.ndarray], written: dict[str, np.ndarray]) -> None:
    assert list(got) == list(SHAPES)
    for name, array in written.items():
        assert got[name].dtype == np.float32
        np.testing.assert_array_equal(got[name], array.astype(np.float32))


@pytest.mark.parametrize("dtype", FLOATS)
def test_every_float_type_is_read(save: Save, tmp_path: Path, dtype: type) -> None:
    written = tensors(dtype)
    assert_same(load_tensors(save(tmp_path, written), SHAPES), written)


def test_bfloat16_is_read_from_safetensors(tmp_path: Path) -> None:
    written = tensors(ml_dtypes.bfloat16)
    assert_same(load_tensors(save_safetensors(tmp_path, written), SHAPES), written)


def test_compressed_and_column_major_npz(tmp_path: Path) -> None:
    written = {name: np.asfortranarray(a) for name, a in tensors().items()}
    np.savez_compressed(tmp_path / "w.npz", **written)
    assert_same(load_tensors(tmp_path / "w.npz", SHAPES), written)


def test_every_mistake_is_reported_at_once(save: Save, tmp_path: Path) -> None:
    arrays = tensors()
    path = save(tmp_path, {"Wi": arrays["Wi"].T.copy(), "Wff": arrays["Wf"], "bias": np.ones(3, np.int32)})
    with pytest.raises(CompileError) as error:
        load_tensors(path, SHAPES)
    found = {(code, message): help for code, message, help in problems(error)}
    assert sorted(code for code, _ in found) == ["E303", "E304", "E305", "E306"]
    assert "did you mean 'Wff'?" in found["E303", "tensor 'Wf' [3, 4] is missing"]
    assert "did you mean 'Wf'?" in found["E304", "unexpected tensor 'Wff'"]
    assert ("E305", "tensor 'Wi' has shape [4, 3], expected [3, 4]") in found
    type_error = next(message for code, message in found if code == "E306")
    assert type_error.startswith("tensor 'bias' has type") and type_error.endswith("which is not read")
    assert all(str(path) in d.message for d in error.value.diagnostics)


def test_a_name_of_another_case_is_a_near_match(save: Save, tmp_path: Path) -> None:
    arrays = tensors()
    path = save(tmp_path, {name.upper(): array for name, array in arrays.items()})
    with pytest.raises(CompileError, match="did you mean 'WI'") as error:
        load_tensors(path, SHAPES)
    assert "did you mean 'Wi'?" in str(error.value)


def test_names_are_printed_without_control_characters_and_cut(tmp_path: Path) -> None:
    path = save_safetensors(tmp_path, {**tensors(), "\x1b[31m\nW": np.ones(1), "W" * 5000: np.ones(1)})
    with pytest.raises(CompileError) as error:
        load_tensors(path, SHAPES)
    text = str(error.value)
    assert "unexpected tensor '\\x1b[31m\\nW'" in text and "\x1b" not in text
    assert "W" * 80 + "..." in text and "W" * 81 not in text


def test_no_more_than_20_problems_of_a_kind_are_listed(save: Save, tmp_path: Path) -> None:
    path = save(tmp_path, {f"extra{i}": np.ones(1) for i in range(57)})
    with pytest.raises(CompileError) as error:
        load_tensors(path, SHAPES)
    text = str(error.value)
    assert text.count("unexpected tensor") == 20 and text.endswith("... and 37 more error[E304]")
    assert text.count("is missing") == len(SHAPES)


def test_an_archive_with_two_arrays_of_one_name(tmp_path: Path) -> None:
    path = save_npz(tmp_path, tensors())
    with zipfile.ZipFile(path) as archive:
        member = archive.read("bias.npy")
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("bias.npy", member)
    with pytest.raises(CompileError, match="two arrays called 'bias'"):
        load_tensors(path, SHAPES)


def test_a_header_with_two_tensors_of_one_name(tmp_path: Path) -> None:
    path = save_safetensors(tmp_path, tensors())
    data = path.read_bytes()
    path.write_bytes(data.replace(b'"Wf":', b'"Wi":'))
    with pytest.raises(CompileError, match="holds a name twice"):
        load_tensors(path, SHAPES)


def test_arrays_from_python_meet_the_same_checks_and_are_copied() -> None:
    mine = tensors()
    got = check_tensors(mine, SHAPES)
    mine["Wi"][:] = 0
    assert got["Wi"].any()
    with pytest.raises(CompileError) as error:
        check_tensors({"Wi": mine["Wi"], "bias": ["a", "b", "c"], "c": 1.0}, SHAPES)
    assert sorted(code for code, _, _ in problems(error)) == ["E303", "E304", "E306"]


def test_a_file_of_another_kind_or_none_at_all(tmp_path: Path) -> None:
    (tmp_path / "w.pt").write_bytes(b"anything")
    for path, says in [
        (tmp_path / "w.pt", "unknown kind of file"),
        (tmp_path / "none.npz", "No such file"),
        (tmp_path, "Is a directory"),
    ]:
        with pytest.raises(CompileError, match=says) as error:
            load_tensors(path, SHAPES)
        assert [code for code, _, _ in problems(error)] == ["E302"]


def test_a_float64_beyond_float32_becomes_infinite_and_not_an_error_here(tmp_path: Path) -> None:
    written = tensors(np.float64)
    written["bias"][1] = 1e300
    got = load_tensors(save_npz(tmp_path, written), SHAPES)
    assert np.isinf(got["bias"][1])


def test_an_empty_archive_misses_everything(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "w.npz", "w"):
        pass
    with pytest.raises(CompileError) as error:
        load_tensors(tmp_path / "w.npz", SHAPES)
    assert [(code, help) for code, _, help in problems(error)] == [("E303", "it holds nothing")] * 3
