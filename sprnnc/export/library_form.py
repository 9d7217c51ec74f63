"""Form ``lib``: a shared library with its header and pkg-config file, and examples in C and C++."""

from __future__ import annotations

from sprnnc.build.nvcc import build_library
from sprnnc.export.lower import lower_to_export
from sprnnc.export.self_test import self_test
from sprnnc.export.source_form import render
from sprnnc.export.weights import pack
from sprnnc.export.whole import whole
from sprnnc.network_artifact import Compiled

_ARCHS = ("sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_103", "sm_120")


def library_files(artifact: Compiled, *, embed: bool) -> dict[str, bytes]:
    """Contents by path. ``embed`` puts the weights into the library, instead of ``share/``.

    Raises CompileError E506 for an artifact of target ``sim``, E509 where there is no nvcc.
    """
    exported = whole(artifact)
    blob = pack(exported.constants)
    model = lower_to_export(exported, blob, embed=embed)
    test = self_test(artifact)
    header, source = render("api.h.j2", model), render("model.cu.j2", model)
    name, weights_path = model.name, f"../share/{model.weights_file}"
    sources = {f"{name}.h": header, f"{name}.cu": source}
    files = {
        f"include/{name}.h": header,
        f"lib/lib{name}.so": build_library(sources, f"{name}.cu", name, architectures(model.arch)),
        f"lib/pkgconfig/{name}.pc": render("library.pc.j2", model),
        "examples/two_streams.c": render("two_streams.c.j2", model, t=test, weights_path=weights_path),
        "examples/test.cpp": render("main.cu.j2", model, t=test, program="test", weights_path=weights_path),
        "examples/Makefile": render("library_Makefile.j2", model),
    }
    return files if embed else {**files, f"share/{model.weights_file}": blob.data}


def architectures(own: str) -> tuple[str, ...]:
    """``own`` and every newer one that can run its code: those of a suffix, such as sm_90a, run alone."""
    if not own.removeprefix("sm_").isdigit():
        return (own,)
    return (own, *(a for a in _ARCHS if int(a[3:]) > int(own[3:])))
