"""What every test may use."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
sys.path.insert(0, str(ROOT))  # the benchmarks are tested too, but are no part of the installed package

settings.register_profile("sprnnc", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("sprnnc")


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Builds of a test run are cached apart from the user's, and shared by its processes."""
    import os

    os.environ.setdefault("SPRNNC_CACHE", str(tmp_path_factory.getbasetemp().parent / "sprnnc-cache"))


@pytest.fixture
def model_of_the_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny language model of random weights in the place of the committed one."""
    import numpy as np

    from examples.charlm import demo
    from examples.charlm.corpus import ALPHABET
    from examples.charlm.model import CharModel

    rng, hidden, symbols = np.random.default_rng(0), 16, len(ALPHABET)

    def draw(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        return rng.standard_normal(shape).astype(np.float32)

    bits = {"heldout": 6.6, "snippet": 6.6}
    about = {
        "hidden": hidden,
        "density": 0.25,
        "snippet_columns": 2,
        "bits_per_character": {"dense": bits, "pruned": bits},
    }
    recurrent = draw(4, hidden, hidden) * (rng.random((4, hidden, hidden)) < 0.25)
    model = CharModel(recurrent, draw(symbols, 4 * hidden), draw(symbols, hidden), draw(symbols), about)
    folder = tmp_path / "model_of_the_demo"
    model.save(folder, small=True)
    (folder / "heldout.txt").write_text("import os\nimport re\n" * 4, "utf-8")
    monkeypatch.setattr(demo, "MODEL", folder)
    return folder


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite golden kernels, to be reviewed")
