"""The entry point: parses arguments, runs a command, and turns errors into text and exit codes."""

from __future__ import annotations

import argparse
import errno
import os
import sys
import traceback
from collections.abc import Sequence

from sprnn_runtime import SprnnError

from sprnnc.cli import bench, check, compare, compile, explain, export, import_, prune, run
from sprnnc.cli.exit_codes import Exit
from sprnnc.cli.options import HelpFormatter
from sprnnc.diagnostics import CompileError
from sprnnc.version import VERSION

COMMANDS = {
    "import": import_,
    "prune": prune,
    "check": check,
    "compile": compile,
    "run": run,
    "explain": explain,
    "compare": compare,
    "bench": bench,
    "export": export,
}
# What writing to a stream that cannot take more says; the error names no file.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)
_DESCRIPTION = "Compiles recurrent cells with sparse weights to persistent GPU kernels."
_EXAMPLES = """\
examples:
  sprnnc compile examples/lstm.sprnn --random-weights 0 -o lstm.sprnnx
  sprnnc run lstm.sprnnx --check
  sprnnc explain lstm.sprnnx

exit codes: 0 done, 1 an error that the message explains, 2 wrong usage, 3 --check failed,
70 a defect of the compiler
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command line (default: the process's) and returns its exit code; raises nothing."""
    try:
        args = _parser().parse_args(argv)
    except SystemExit as end:  # argparse ends so for --help, --version and wrong usage
        return int(end.code or 0)
    return _guarded(args)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sprnnc", description=_DESCRIPTION, epilog=_EXAMPLES, formatter_class=HelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"sprnnc {VERSION}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, module in COMMANDS.items():
        command = commands.add_parser(
            name,
            help=module.HELP,
            description=f"{module.HELP[0].upper()}{module.HELP[1:]}.",
            epilog=module.EXAMPLES,
            formatter_class=HelpFormatter,
        )
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser


def _guarded(args: argparse.Namespace) -> int:
    try:
        code = int(args.run(args))
        sys.stdout.flush()  # here, where a full disk or a closed pipe can still be reported
        return code
    except (CompileError, SprnnError) as error:
        return _report(str(error), Exit.USER_ERROR)
    except BrokenPipeError:
        _drop_stdout()
        return Exit.BROKEN_PIPE
    except OSError as error:
        if error.filename is None and error.errno in _FULL:
            _drop_stdout()
            return _report(f"error[E605]: cannot write the output: {error}", Exit.USER_ERROR)
        return _report(f"error[E619]: the system refuses what was asked of it: {error}", Exit.USER_ERROR)
    except MemoryError as error:
        help = "help: choose smaller sizes, a smaller batch or fewer steps"
        return _report(
            f"error[E406]: sizes do not fit this machine's memory: {error}\n{help}", Exit.USER_ERROR
        )
    except KeyboardInterrupt:
        return _report("interrupted", Exit.INTERRUPTED)
    except Exception:
        plea = f"This is a defect of sprnnc {VERSION}; please report it with the text above."
        return _report(f"{traceback.format_exc()}\n{plea}", Exit.INTERNAL_ERROR)


def _report(text: str, code: Exit) -> int:
    print(text, file=sys.stderr)
    return code


def _drop_stdout() -> None:
    """Sends what is still buffered nowhere, so that the interpreter's own flush at exit is silent."""
    try:
        descriptor = sys.stdout.fileno()
    except OSError:
        return  # not a file: nothing is flushed at exit
    os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
