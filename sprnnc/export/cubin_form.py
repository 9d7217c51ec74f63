"""Form ``cubin``: machine code, constants as raw files, and JSON that says how to launch; an example in C."""

from __future__ import annotations

import json

from sprnnc.artifact import Artifact
from sprnnc.diagnostics import fail
from sprnnc.export.description import describe
from sprnnc.export.lower import lower_to_export
from sprnnc.export.self_test import expected_output, self_test
from sprnnc.export.source_form import render
from sprnnc.export.weights import pack, raw


def cubin_files(artifact: Artifact, *, embed: bool) -> dict[str, bytes]:
    """Contents by path. Raises CompileError E506 for an artifact without a cubin, E508 for ``embed``."""
    if embed:
        raise fail("E508", "--embed with --form cubin: there is no source", help="use --form cu --embed")
    model = lower_to_export(artifact, pack(artifact.packed), embed=False)
    assert artifact.cubin is not None
    cubin = f"{model.name}.cubin"
    files = {cubin: artifact.cubin}
    files |= {f"constants/{name}.bin": raw(array) for name, array in artifact.packed.items()}
    description = describe(artifact.manifest, cubin, files)
    test = self_test(artifact)
    return {
        **files,
        f"{model.name}.json": (json.dumps(description, indent=1) + "\n").encode(),
        "example.c": render("driver_example.c.j2", model, t=test),
        "Makefile": render("driver_Makefile.j2", model),
        "test/expected.bin": raw(expected_output(artifact)),
    }
