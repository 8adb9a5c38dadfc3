"""``python -m training``: train a model, measure one, or look into one."""

import argparse
import sys
from collections.abc import Sequence

from captioner.errors import CaptionerError
from captioner.memory import keep_freed_memory
from training.commands import (
    calibrate,
    check,
    evaluate,
    fit,
    fit_concepts,
    fit_text,
    gradients,
    join,
    prepare,
    sample,
    units,
)

COMMANDS = {
    "fit": fit,
    "fit-concepts": fit_concepts,
    "fit-text": fit_text,
    "prepare": prepare,
    "check": check,
    "evaluate": evaluate,
    "join": join,
    "calibrate": calibrate,
    "sample": sample,
    "units": units,
    "gradients": gradients,
}
STOPPED = 130  # what a shell reports of a command that SIGINT ended


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    commands = top.add_subparsers(required=True)

    for name, command in COMMANDS.items():
        added = commands.add_parser(
            name, help=command.HELP, description=f"{command.HELP[0].upper()}{command.HELP[1:]}."
        )
        command.add_arguments(added)
        added.set_defaults(run=command.run)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    keep_freed_memory()
    args = parser().parse_args(argv)
    try:
        return int(args.run(args))
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return STOPPED
    except (CaptionerError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
