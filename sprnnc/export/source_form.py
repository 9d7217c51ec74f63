"""Form ``cu``: kernels, launch code and a C API in one source, with a test and what builds them."""

from __future__ import annotations

from sprnnc.codegen.render import environment
from sprnnc.export.lower import lower_to_export
from sprnnc.export.model import ExportModel
from sprnnc.export.self_test import self_test
from sprnnc.export.weights import pack
from sprnnc.export.whole import whole
from sprnnc.network_artifact import Compiled


def source_files(artifact: Compiled, *, embed: bool) -> dict[str, bytes]:
    """Contents by file name. ``embed`` puts the weights into the source, instead of a file beside it.

    Raises CompileError E506 for an artifact of target ``sim``.
    """
    exported = whole(artifact)
    blob = pack(exported.constants)
    model = lower_to_export(exported, blob, embed=embed)
    test = self_test(artifact)
    files = {
        f"{model.name}.h": render("api.h.j2", model),
        f"{model.name}.cu": render("model.cu.j2", model),
        "main.cu": render(
            "main.cu.j2", model, t=test, program=f"{model.name}_test", weights_path=model.weights_file
        ),
        "Makefile": render("Makefile.j2", model),
        "CMakeLists.txt": render("CMakeLists.txt.j2", model),
    }
    return files if embed else {**files, model.weights_file: blob.data}


def render(template: str, model: ExportModel, **more: object) -> bytes:
    """A file of an export, by its template."""
    return environment().get_template(f"export/{template}").render(e=model, **more).encode()
