"""``python -m benchmarks``: the one entry to all measurements; ``--help`` after a command lists its options."""

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import cast

from captioner.commands.parser import Command, CommandParser, add_commands
from captioner.errors import CaptionerError
from captioner.malloc import keep_freed_memory

COMMANDS = {
    "stages": "time each stage from a photo's bytes to its caption, beside the encoder, a plain search and torch",
    "throughput": "count photos per second for batches of 1 to 64 and for 1, 3 and 5 beams",
    "bulk": "compare bulk captioning with the library, watch its memory, and kill it at random moments",
    "start": "time the way from the start of a process to the first caption, and its memory at ready",
    "memory": "watch the service's memory over thousands of mixed requests",
    "install": "install into a fresh environment, and say how long that takes and how large it is",
    "service": "load the service with clients, beside the library alone, and then with a burst",
    "capacity": "simulate how much load services bear, and what breaks first, with measured times of the model",
    "training": "count the captions per second that training learns from, and the photos that it encodes",
    "files": "count the photos per second of write and index, beside the library alone",
    "others": "time ViT-GPT2 and BLIP-base with random weights beside our model, with the library transformers",
    "compare": "measure this checkout against another revision of it, as ratios within one run",
    "gpu": "train, resume and caption on a GPU, compare with the CPU, and time it, within 8 minutes",
    "answers": "record what a running service answers, or compare two records",
    "fuzz": "throw hostile files and requests at the service",
    "family": "train every encoder, decoder and cell for 50 steps on real photos, and time them",
    "ingredients": "train with one ingredient more at a time, and score each model",
}
STOPPED = 130  # what a shell reports of a command that SIGINT ended


def parser() -> CommandParser:
    """Return the parser of the command line."""
    top = CommandParser(prog="python -m benchmarks", description="Measure what is fast, and what withstands.")
    add_commands(top, COMMANDS, lambda name: cast("Command", import_module(f"benchmarks.commands.{name}")))
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status: 1 if a measurement shows that something is wrong."""
    keep_freed_memory()
    try:
        arguments = parser().parse_args(argv)
        status: int = arguments.run(arguments)
    except KeyboardInterrupt:
        return STOPPED
    except (CaptionerError, OSError) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    return status


if __name__ == "__main__":
    sys.exit(main())
