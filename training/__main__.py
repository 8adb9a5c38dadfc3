"""Train a model, measure one, or look into one: ``captioner train``, which is ``python -m training``, too."""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from importlib import import_module
from typing import cast

from captioner.commands.parser import Command, CommandParser, add_commands
from captioner.errors import CaptionerError
from captioner.malloc import keep_freed_memory
from training.errors import TrainingError

COMMANDS = {
    "all": "run all stages that make a model, as a recipe lists them; stopped or broken off, the same command goes on",
    "fit": "train a model by a recipe; Ctrl-C stops it so that it can be resumed",
    "fit-concepts": "teach an encoder the words of captions, for a fit to start from; "
    "Ctrl-C stops it so that it can be resumed",
    "fit-answers": "teach a network on a captioner's encoder to answer questions about photos; "
    "Ctrl-C stops it so that it can be resumed",
    "fit-text": "train a language model on plain text; Ctrl-C stops it so that it can be resumed",
    "make-questions": "make questions and answers about photos from their captions, for fit-answers",
    "prepare": "download and unpack MS-COCO; stopped or broken off, the same command goes on",
    "check": "report missing and unreadable photos, leakage, caption lengths, unknown words, and what to do about them",
    "evaluate": "score a checkpoint's captions",
    "evaluate-answers": "score a network's answers to questions, beside guesses that do not see the photo",
    "caption": "caption a list of photos without references, as COCO's evaluation server takes it",
    "join": "join models that were trained apart to an ensemble",
    "average": "take the mean of the weights of checkpoints of the same model, a model soup",
    "grow": "let a model learn from the corrections that a service keeps, new words too, and keep its score; "
    "Ctrl-C stops it, the same command goes on",
    "quantize": "store the matrices of a model in 8 bits, which makes its file smaller",
    "add-class-words": "let a model say what a classifier sees and its captions seldom said",
    "calibrate": "fit confidences of words and captions, and say how far they hold on other photos",
    "sample": "let a language model write",
    "units": "draw what single gates and states of a language model do while it reads a text",
    "gradients": "measure and draw how gradients fade on their way back through fresh recurrent cells",
}
STOPPED = 130  # what a shell reports of a command that SIGINT ended


def add_arguments(parser: ArgumentParser) -> None:
    """Add the commands, as those of a program or of one of its commands."""
    add_commands(parser, COMMANDS, _load, run_as="run_command")


def run(arguments: Namespace) -> int:
    """Run the command that the arguments name; return the exit status."""
    try:
        return int(arguments.run_command(arguments))
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return STOPPED
    except (CaptionerError, OSError) as error:
        return _failed(error)


def parser() -> CommandParser:
    """Return the parser of the command line."""
    top = CommandParser(prog="python -m training", description="Train a model, measure one, or look into one.")
    add_arguments(top)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    keep_freed_memory()
    try:
        args = parser().parse_args(argv)
    except CaptionerError as error:
        return _failed(error)
    return run(args)


def _load(name: str) -> Command:
    try:
        return cast("Command", import_module(f"training.commands.{name.replace('-', '_')}"))
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] in {"captioner", "training"}:
            raise
        raise TrainingError(
            f"{name} needs {error.name}, which is not installed; pip install 'captioner[training]' "
            "(in a checkout: pip install -e '.[training]') installs all that training needs"
        ) from None


def _failed(error: Exception) -> int:
    print(f"error: {error}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
