"""Parsers of programs made of commands: each command is imported once it is asked for, and a wrong flag gets a hint."""

import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import partial
from typing import Any, Protocol


class Command(Protocol):
    """What a module must have to be a command; a module may also have an ``EPILOG``, which ends the help."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the command's arguments."""

    def run(self, arguments: Namespace) -> int:
        """Do what the arguments ask for; return the exit status."""


Load = Callable[[], Command]


class CommandParser(ArgumentParser):
    """A parser that learns its arguments from a command once something is to be parsed.

    Args:
        *arguments: Those of ``ArgumentParser``.
        load: Imports the command; ``None`` if the arguments are added by whoever makes the parser.
        run_as: Under which name the parsed arguments hold the command's ``run``.
        **options: Those of ``ArgumentParser``.
    """

    def __init__(self, *arguments: Any, load: Load | None = None, run_as: str = "run", **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._load = load
        self._run_as = run_as

    def parse_known_args(  # type: ignore[override]  # as ArgumentParser has it, without its overloads
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """Parse arguments; complain of unknown ones here, where the flags that they could mean are known."""
        self._fill()
        given = sys.argv[1:] if args is None else list(args)
        if self._subparsers is not None and not given:
            self.print_help(sys.stderr)
            self.exit(2)
        found, unknown = super().parse_known_args(given, namespace)
        if unknown:
            self.error(_unrecognized(unknown, self._option_string_actions))
        return found, unknown

    def _fill(self) -> None:
        if self._load is not None:
            command = self._load()
            self._load = None
            self.epilog = getattr(command, "EPILOG", None)
            self.set_defaults(**{self._run_as: command.run})
            command.add_arguments(self)


def _unrecognized(unknown: Iterable[str], flags: Collection[str]) -> str:
    message = f"unrecognized arguments: {' '.join(unknown)}"
    wrong = [word.partition("=")[0] for word in unknown if word.startswith("-")]
    near = [match for word in wrong for match in get_close_matches(word, flags, n=1)]
    return f"{message}; did you mean {', '.join(near)}?" if near else message


def add_commands(
    parser: ArgumentParser, commands: Mapping[str, str], load: Callable[[str], Command], run_as: str = "run"
) -> None:
    """Add commands to a program's parser.

    Args:
        parser: The program's.
        commands: What each command does, by its name.
        load: From a name to the command, which may take long to import.
        run_as: Under which name the parsed arguments hold the ``run`` of the command that was given.
    """
    group = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=CommandParser)
    for name, text in commands.items():
        group.add_parser(
            name,
            help=text,
            description=f"{text[0].upper()}{text[1:]}.",
            formatter_class=RawDescriptionHelpFormatter,
            load=partial(load, name),
            run_as=run_as,
        )
