"""``sprnnc export``: an artifact as sources or libraries that need nothing of sprnnc."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from sprnnc.cli.exit_codes import Exit
from sprnnc.cli.one_layer import add_layer_option, one_layer
from sprnnc.cli.progress import progress
from sprnnc.export.cubin_form import cubin_files
from sprnnc.export.folder import check_free, write_folder
from sprnnc.export.library_form import library_files
from sprnnc.export.source_form import source_files
from sprnnc.network_artifact import Compiled, load

HELP = "export an artifact to C, to be built and run without sprnnc"
EXAMPLES = """\
examples:
  sprnnc export lstm.sprnnx -o lstm_c
  sprnnc export lstm.sprnnx -o lstm_c --embed
  sprnnc export lstm.sprnnx -o lstm_cubin --form cubin
  sprnnc export tagger.sprnnx -o there_c --layer there

cu     one .cu with kernels, launch code and a C API, its header, the weights, a test, a Makefile and a
       CMakeLists.txt: make -C lstm_c builds it with nvcc alone
lib    a shared library, its header and pkg-config file, and examples in C and C++; this needs nvcc
cubin  machine code, constants as raw files, JSON that says how to launch it from any language, and an
       example in C with the driver API
"""

Files = dict[str, bytes]
_FORMS: dict[str, Callable[[Compiled, bool], Files]] = {
    "cu": lambda artifact, embed: source_files(artifact, embed=embed),
    "lib": lambda artifact, embed: library_files(artifact, embed=embed),
    "cubin": lambda artifact, embed: cubin_files(artifact, embed=embed),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("artifact", metavar="ARTIFACT", help="a file that sprnnc compile wrote for a GPU")
    parser.add_argument(
        "-o", "--output", metavar="DIR", required=True, help="the folder to make; it must not hold anything"
    )
    parser.add_argument("--form", choices=list(_FORMS), default="cu", help="what to make (default: cu)")
    parser.add_argument(
        "--embed",
        action="store_true",
        help="put the weights into the source or library, instead of a file beside it",
    )
    add_layer_option(parser, "export")


def run(args: argparse.Namespace) -> Exit:
    """Writes the folder whole or not at all. Raises CompileError E506, E507 and E622, and SprnnError."""
    folder = Path(args.output)
    check_free(folder)  # before the work, not after it
    artifact: Compiled = load(args.artifact)
    if args.layer is not None:
        artifact = one_layer(artifact, args.layer, "export")
    with progress(f"exporting {args.artifact}"):
        files = _FORMS[args.form](artifact, args.embed)
        write_folder(folder, files)
    print(f"wrote {folder}: {', '.join(sorted(files))}")
    return Exit.OK
