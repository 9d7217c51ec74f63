"""Form ``cubin``: machine code, constants as raw files, and JSON that says how to launch; an example in C."""

from __future__ import annotations

import json

from sprnnc.diagnostics import fail
from sprnnc.export.description import describe
from sprnnc.export.lower import cubin_path, lower_to_export
from sprnnc.export.names import fields
from sprnnc.export.self_test import expected_output, self_test
from sprnnc.export.source_form import render
from sprnnc.export.weights import pack, raw
from sprnnc.export.whole import whole
from sprnnc.network_artifact import Compiled


def cubin_files(artifact: Compiled, *, embed: bool) -> dict[str, bytes]:
    """Contents by path. Raises CompileError E506 for an artifact without a cubin, E508 for ``embed``."""
    if embed:
        raise fail("E508", "--embed with --form cubin: there is no source", help="use --form cu --embed")
    exported = whole(artifact)
    model, names = lower_to_export(exported, pack(exported.constants), embed=False), fields(exported)
    cubins = {part: cubin_path(part, exported) for part in exported.kernels}
    constants = {name: f"constants/{names[name]}.bin" for name in exported.constants}
    files = {path: exported.kernels[part].cubin for part, path in cubins.items()}
    files |= {path: raw(exported.constants[name]) for name, path in constants.items()}
    description = describe(exported, cubins, constants, files)
    return {
        **files,
        f"{model.name}.json": (json.dumps(description, indent=1) + "\n").encode(),
        "example.c": render("driver_example.c.j2", model, t=self_test(artifact)),
        "Makefile": render("driver_Makefile.j2", model),
        "test/expected.bin": raw(expected_output(artifact)),
    }
