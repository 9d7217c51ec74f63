"""Cubins are built once, and come back with what ptxas said of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from sprnnc import cubin_cache
from sprnnc.build import nvrtc

SOURCE = 'extern "C" __global__ void one(int* x) { *x = 1; }'


def test_a_second_build_is_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPRNNC_CACHE", str(tmp_path))
    built: list[str] = []
    build = nvrtc.build_cubin
    monkeypatch.setattr(nvrtc, "build_cubin", lambda source, arch: built.append(arch) or build(source, arch))
    first = cubin_cache.build_cubin(SOURCE, "sm_90")
    assert first == build(SOURCE, "sm_90") and first.resources["one"].registers > 0
    assert cubin_cache.build_cubin(SOURCE, "sm_90") == first
    assert built == ["sm_90"]
    other = cubin_cache.build_cubin(SOURCE, "sm_80")
    assert other.arch == "sm_80" and other.code != first.code
    changed = cubin_cache.build_cubin(SOURCE.replace("1;", "2;"), "sm_90")
    assert changed.code != first.code
    monkeypatch.setattr(nvrtc, "identity", lambda: "another NVRTC")
    assert cubin_cache.build_cubin(SOURCE, "sm_90") == first
    assert built == ["sm_90", "sm_80", "sm_90", "sm_90"]
    assert len(list(tmp_path.iterdir())) == 4
