"""The program ``captioner``, which is ``python -m captioner``, too.

Its own commands are in :mod:`captioner.commands`. Other packages add theirs as entry points of the group
``captioner.commands``, each a module with what :class:`captioner.commands.parser.Command` asks for; so the library need
not know them, and nothing heavy is imported before it is asked for.
"""

import contextlib
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import cast

from captioner import __version__
from captioner.commands.parser import Command, CommandParser, add_commands
from captioner.errors import CaptionerError, ConfigError, OptionError
from captioner.malloc import keep_freed_memory

COMMANDS = {
    "caption": "print a caption of each photo",
    "bulk": "caption very many photos into a folder of shards; the same command goes on where it stopped",
    "ask": "print answers to a question about a photo, and how probable they are",
    "watch": "describe a moving picture shot by shot, as JSON or as WebVTT subtitles",
    "write": "write captions into photos' own metadata, or into XMP sidecars",
    "alt": "propose alternative texts for images in HTML and Markdown, write them, or miss them",
    "index": "keep an index of photos by their captions",
    "find": "find photos of an index by words",
    "follow": "caption photos that arrive in a folder",
    "score": "print how probable the model finds captions that you wrote",
    "units": "draw what single gates and states of the network did at each word",
    "inspect": "print what a checkpoint says of itself, as JSON",
    "export": "add ONNX graphs to a model, so that it runs without torch",
}
GROUP = "captioner.commands"  # of the entry points
# The programs that come with the library: what they do, and their package, to be told if no entry point is installed.
PROGRAMS = {
    "serve": ("answer requests over HTTP, and serve the web page", "service"),
    "train": ("train models, measure them, and look into them", "training"),
}
FAILED, USAGE = 1, 2
BROKEN_PIPE, INTERRUPTED = 141, 130  # 128 + SIGPIPE and 128 + SIGINT, as shells report them


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    Args:
        argv: The arguments after the program's name; those of the process if ``None``.
    """
    keep_freed_memory()
    try:
        arguments = _parser().parse_args(argv)
        status: int = arguments.run(arguments)
        sys.stdout.flush()  # so that a closed pipe shows here, not when the interpreter ends
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _silence_stdout()
        return BROKEN_PIPE
    except (CaptionerError, OSError) as error:
        print(f"captioner: {_told(error)}", file=sys.stderr)
        return USAGE if isinstance(error, OptionError) else FAILED
    return status


def _told(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def _parser() -> CommandParser:
    parser = CommandParser(prog="captioner", description="Describe photos in words.")
    parser.add_argument("--version", action="version", version=f"captioner {__version__}")
    programs = {name: text for name, (text, _) in PROGRAMS.items()}
    further = {
        entry.name: f"a command of {entry.dist.name if entry.dist else entry.value}"
        for entry in entry_points(group=GROUP)
    }
    add_commands(parser, further | COMMANDS | programs, _load)
    return parser


def _load(name: str) -> Command:
    if name in COMMANDS:
        return _own(name)
    entry: EntryPoint | None = next(iter(entry_points(group=GROUP, name=name)), None)
    if entry is None:
        package = PROGRAMS[name][1]
        raise ConfigError(
            f"no installed package offers {name}. If the package {package} is there, this is "
            f"python -m {package}; pip install . (in a checkout pip install -e .) makes it a command of captioner"
        )
    return cast("Command", entry.load())


def _own(name: str) -> Command:
    try:
        return cast("Command", import_module(f"captioner.commands.{name}"))
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] == "captioner":
            raise
        raise ConfigError(
            f"{name} needs {error.name}, which is not installed; pip install 'captioner[torch]' "
            "(in a checkout: pip install -e '.[torch]') installs all that it needs"
        ) from None


def _silence_stdout() -> None:
    """Let what is still buffered go nowhere, or the interpreter complains of the closed pipe when it ends."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
