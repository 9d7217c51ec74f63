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


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite golden kernels, to be reviewed")
