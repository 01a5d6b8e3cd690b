"""The command ``fastnn``: arguments in, exit code out."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import fastnn
from fastnn.cli import train

# What a user can cause and mend; anything else is a bug and keeps its traceback.
_EXPECTED = (OSError, ValueError, ImportError, FloatingPointError, MemoryError)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Parameters
    ----------
    argv : list of str, optional
        By default the arguments of the process.

    Returns
    -------
    int
        0; 2 after an error, which is one line on stderr; 130 after Ctrl-C.
    """
    arguments = _make_parser().parse_args(argv)
    try:
        arguments.run(arguments)
    except KeyboardInterrupt:
        print("\nfastnn: interrupted", file=sys.stderr)
        return 130
    except _EXPECTED as error:
        message = " ".join(str(error).split()) or type(error).__name__
        print(f"fastnn: error: {message}", file=sys.stderr)
        return 2
    return 0


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fastnn", description="Train dense neural networks on the CPU, fast."
    )
    parser.add_argument("--version", action="version", version=f"fastnn {fastnn.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    train.add_command(commands)
    config = commands.add_parser("config", help="print CPU features, BLAS, OpenMP and threads")
    config.set_defaults(run=lambda _: fastnn.show_config())
    return parser
