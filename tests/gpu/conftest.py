"""GPU tests are skipped only where there is no GPU, and fail there if SPRNNC_REQUIRE_GPU is set."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def _missing() -> str | None:
    try:
        from cuda.bindings import driver

        status = int(driver.cuInit(0)[0])
    except (ImportError, RuntimeError) as error:
        return str(error)
    return f"cuInit returned {status}" if status else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = [item for item in items if Path(__file__).parent in item.path.parents]
    why = _missing() if here else None
    for item in here:
        item.add_marker(pytest.mark.gpu)
        if why and not os.environ.get("SPRNNC_REQUIRE_GPU"):
            item.add_marker(pytest.mark.skip(reason=f"no GPU: {why}"))
