"""Two versions over the same data: what is reported is what happened, as text and as a page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from strict_html import check_page

import sprnnc
from sprnnc.cli.main import main
from sprnnc.comparison import Comparison, Version, compare, comparison_html, comparison_text
from sprnnc.comparison.page import make_page
from sprnnc.diagnostics import CompileError
from sprnnc.measurement import Measurement
from sprnnc.sparsity.write_weights import weight_file_bytes

SOURCE = """\
cell Elman(I, H, O) {
  input  x[I]
  state  h[H]
  weight W[H, I]
  weight U[H, H]  as_stored
  weight V[O, H]
  h' = tanh(W @ x + U @ h)
  y = V @ h'
  output y
}
model m { layer main = Elman(I=4, H=24, O=3) }
"""
X = np.random.default_rng(1).standard_normal((10, 2, 4)).astype(np.float32)


def weights(density: float, hidden: int = 24) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    shapes = {"W": (hidden, 4), "U": (hidden, hidden), "V": (3, hidden)}
    made = {n: (rng.standard_normal(s) / np.sqrt(s[1])).astype(np.float32) for n, s in shapes.items()}
    made["U"] *= rng.random(made["U"].shape) < density
    return made


def version(density: float, name: str = "a", hidden: int = 24, **options) -> Version:
    sizes = {"H": hidden, **options.pop("sizes", {})}
    options = {"target": "sm_90", "batch": 2} | options
    return Version(name, sprnnc.compile(SOURCE, weights=weights(density, hidden), sizes=sizes, **options))


@pytest.fixture(scope="module")
def found() -> Comparison:
    measured = [Measurement("", "a GPU", 256, 20, us, us, us) for us in (2.0, 1.6)]
    a = replace(version(1.0, "dense"), measurement=measured[0])
    b = replace(version(0.25, "<sparse>"), measurement=measured[1])
    return compare(a, b, X, device="plan", data="ten steps")


def test_both_are_what_their_runs_give(found: Comparison) -> None:
    for _, side in found.sides:
        exact = sprnnc.execute(side.version.artifact, X, device="reference").y
        assert side.arithmetic < 1e-6 and side.device == "plan"
        np.testing.assert_allclose(side.output, exact, atol=1e-5)
    apart = np.linalg.norm(found.b.output - found.a.output) / np.linalg.norm(found.a.output)
    assert found.difference.relative == pytest.approx(apart, rel=1e-6) and apart > 0.05
    assert found.a.nonzeros == 24 * 24 + 7 * 24
    assert found.b.densities["U"] == np.count_nonzero(weights(0.25)["U"]) / 576
    assert found.b.packed_bytes < found.a.packed_bytes
    assert found.a.dense_bytes == 4 * found.a.nonzeros


def test_the_text_says_all_of_it(found: Comparison) -> None:
    text = comparison_text(found)
    lines = {line.strip().split("  ")[0]: line for line in text.splitlines()}
    assert "dense: Elman with h 24, fp32 for sm_90, batch 2" in text and "ten steps" in text
    assert f"{found.difference.relative:.3g} of A's norm" in lines["relative error"]
    assert lines["us measured"].split()[-3:] == ["2.000", "1.600", "0.800"]
    assert "unknown" not in lines["us predicted"]
    assert lines["U"].split() == ["U", "1.0000", f"{found.b.densities['U']:.4f}"]
    assert "A was measured on a GPU, 256 steps" in text and "sprnnc bench" not in text
    assert "of 10 x 2 columns of 3" in lines["same largest"]


def test_the_page_is_complete_in_itself(found: Comparison) -> None:
    html = comparison_html(found)
    page = check_page(html)
    for words in (
        "<sparse>",
        "ten steps",
        "Root mean square of B - A by step",
        "Density by matrix",
        "1.25 ×",
    ):
        assert words in page.words
    charts = [c for section in make_page(found).sections for c in section.charts]
    assert len(charts) == 2 + 2 + 1
    times = [c for c in charts if "predicted" in c.title]
    assert times[0].width == times[1].width  # on one scale
    bars = charts[-1]
    assert bars.ticks == ("W", "U", "V") and bars.shapes[0].path.count("M") == 3


def test_precisions_and_hidden_sizes_may_differ() -> None:
    a, b = version(1.0), version(1.0, "b", dtype="fp16", target="sim")
    half = compare(a, b, X, device="plan")
    assert 1e-5 < half.difference.relative < 1e-2
    assert half.b.dense_bytes == half.a.dense_bytes // 2
    assert "predicted for sm_90 alone" in comparison_text(half)
    check_page(comparison_html(half))
    other = compare(a, version(1.0, "b", hidden=16), X, device="plan")
    assert other.difference.relative > 0.1 and other.b.output.shape == other.a.output.shape


def test_every_size_that_must_not_differ_is_named() -> None:
    a = version(1.0)
    source = SOURCE.replace("O=3", "O=5").replace("I=4", "I=6")
    b = Version("b", sprnnc.compile(source, random_weights=0, target="sim", batch=1))
    with pytest.raises(CompileError) as raised:
        compare(a, b, X)
    text = str(raised.value)
    assert text.count("E622") == 3
    for words in ("input sizes are 4 and 6", "output sizes are 3 and 5", "batch sizes are 2 and 1"):
        assert words in text


def test_outputs_of_zeros_and_of_no_numbers_have_a_report() -> None:
    nothing = {name: np.zeros_like(w) for name, w in weights(1.0).items()}
    b = Version("b", sprnnc.compile(SOURCE, weights=nothing, target="sim", batch=2))
    x = X.copy()
    x[3, 1, 0] = np.nan
    found = compare(version(1.0, target="sim"), b, x, device="plan")
    assert found.difference.not_finite > 0 and "NaN or infinite" in comparison_text(found)
    check_page(comparison_html(found))
    same = compare(b, b, X, device="plan")
    assert "undefined" in comparison_text(same)
    check_page(comparison_html(same))


def store(name: str, density: float, suffix: str = ".safetensors") -> None:
    Path(f"{name}.sprnn").write_text(SOURCE)
    Path(f"{name}{suffix}").write_bytes(weight_file_bytes(Path(f"x{suffix}"), weights(density)))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    store("dense", 1.0)
    store("sparse", 0.25, ".npz")
    np.save("x.npy", X)
    return tmp_path


def test_sources_are_compiled_for_the_artifact_beside_them(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    version(1.0, target="sim").artifact.save("dense.sprnnx")
    options = ["--data", "x.npy", "--device", "sim", "--html", "page.html"]
    assert main(["compare", "dense.sprnnx", "sparse.sprnn", *options]) == 0
    out = capsys.readouterr().out
    assert "B  sparse.sprnn: Elman with h 24, fp32 for sim, batch 2" in out
    assert "10 steps of x.npy" in out and "wrote page.html" in out
    check_page(Path("page.html").read_text(encoding="utf-8"))


def test_random_data_are_said_to_be_random(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--target", "sim", "--device", "plan", "--steps", "5", "--seed", "3", "--dtype", "fp16"]
    assert main(["compare", "dense.sprnn", "sparse.sprnn", *options]) == 0
    out = capsys.readouterr().out
    assert "5 steps of random numbers, seed 3: give your own with --data" in out and "fp16 for sim" in out


@pytest.mark.parametrize("name", ["x.npz", "x.safetensors"])
def test_data_may_lie_in_other_files(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arrays = {"x": X, "other": X[:1]}
    Path(name).write_bytes(weight_file_bytes(Path(name), arrays))
    options = ["--target", "sim", "--device", "plan"]
    assert main(["compare", "dense.sprnn", "sparse.sprnn", "--data", name, *options]) == 0
    assert f"10 steps of {name}" in capsys.readouterr().out
    Path(name).write_bytes(weight_file_bytes(Path(name), {"y": X, "z": X}))
    assert main(["compare", "dense.sprnn", "sparse.sprnn", "--data", name, *options]) == 1
    assert "holds several arrays or none: y, z" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("dense.sprnn", "none.sprnnx"), "E602"),
        (("dense.sprnn", "none.sprnn"), "E101"),
        (("dense.sprnn", "sparse.sprnn", "--data", "none.npy"), "E616"),
        (("dense.sprnn", "sparse.sprnn", "--data", "flat.npy", "--target", "sim"), "E604"),
        (("dense.sprnn", "sparse.sprnn", "--steps", "0", "--target", "sim"), "E604"),
        (("dense.sprnn", "sparse.sprnn", "--html", "no/page.html"), "E605"),
        (("dense.sprnn", "sparse.sprnn", "--target", "sm_1"), "E401"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    arguments: tuple[str, ...], code: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save("flat.npy", X[0])
    before = sorted(folder.iterdir())
    assert main(["compare", *arguments, "--device", "plan"]) == 1
    captured = capsys.readouterr()
    assert f"error[{code}]" in captured.err and captured.out == ""
    assert sorted(folder.iterdir()) == before
