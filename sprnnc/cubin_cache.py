"""Cubins, kept by ``sprnn_runtime.build_cache`` with what ptxas reported of them."""

from __future__ import annotations

import json
from dataclasses import astuple

from sprnn_runtime.build_cache import Build, BuildCache, key_of

from sprnnc.build import nvrtc
from sprnnc.build.nvrtc import Cubin, Resources


def build_cubin(source: str, arch: str) -> Cubin:
    """``nvrtc.build_cubin``, once for every source, architecture and compiler. It raises the same."""

    def build() -> Build:
        cubin = nvrtc.build_cubin(source, arch)
        reported = {name: astuple(r) for name, r in cubin.resources.items()}
        return Build(cubin.code, json.dumps(reported).encode())

    key = key_of(source, arch, nvrtc.identity())
    kept = BuildCache.of_user().fetch("cubin", key, ".cubin", build)
    return Cubin(arch, kept.code, {name: Resources(*r) for name, r in json.loads(kept.note).items()})
