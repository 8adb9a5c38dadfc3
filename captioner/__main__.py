"""The command line: ``python -m captioner COMMAND``; the commands are in :mod:`captioner.commands`."""

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence

from captioner import __version__
from captioner.commands import caption, inspect, score, units
from captioner.commands.output import FAILED, complain
from captioner.errors import CaptionerError, OptionError
from captioner.memory import keep_freed_memory

COMMANDS = {"caption": caption, "score": score, "units": units, "inspect": inspect}
USAGE, BROKEN_PIPE, INTERRUPTED = 2, 141, 130  # 128 + SIGPIPE and 128 + SIGINT, as shells report them


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    Args:
        argv: The arguments after the program's name; those of the process if ``None``.
    """
    keep_freed_memory()
    arguments = _parser().parse_args(argv)
    try:
        status: int = arguments.run(arguments)
        sys.stdout.flush()  # so that a closed pipe shows here, not when the interpreter ends
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _silence_stdout()
        return BROKEN_PIPE
    except (CaptionerError, OSError) as error:
        complain(str(error))
        return USAGE if isinstance(error, OptionError) else FAILED
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="captioner", description="Describe photos in words.")
    parser.add_argument("--version", action="version", version=f"captioner {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        added = commands.add_parser(
            name,
            help=command.HELP,
            description=f"{command.HELP[0].upper()}{command.HELP[1:]}.",
            epilog=command.EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_arguments(added)
        added.set_defaults(run=command.run)
    return parser


def _silence_stdout() -> None:
    """Let what is still buffered go nowhere, or the interpreter complains of the closed pipe when it ends."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
