"""``captioner train all``: everything from the first weights to the model that is used, one stage after the other."""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from dataclasses import asdict, fields
from importlib import import_module
from pathlib import Path
from typing import cast

from captioner.commands.arguments import FLAGS, add_device, spelled
from captioner.commands.output import DONE, say
from captioner.commands.parser import Command, CommandParser
from captioner.decoding import DecodingOptions
from training.commands.add_class_words import caption_words
from training.commands.photos import photo_words
from training.commands.runs import STOPPED, learn
from training.recipe_keys import listing
from training.runs.distributed import World, lone_world
from training.runs.start import resume, start
from training.stages.plan import Stage, is_begun, is_done, note_begin, note_end, plan
from training.stages.recipe import StagesRecipe

EPILOG = listing(StagesRecipe)
HOMES = {"export": ("captioner.commands", "captioner")}  # the command that is none of training's
DEFAULTS = asdict(DecodingOptions())


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--recipe", type=Path, required=True, metavar="FILE.toml", help="the recipe of stages")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY.SUB=VALUE",
        help="replace a value in all stages whose recipes have it, or in one: STAGE.KEY.SUB=VALUE",
    )
    add_device(parser)


def run(arguments: Namespace) -> int:
    """Run all stages that are not done; return the exit status."""
    world, stages = lone_world("all", arguments.device), plan(arguments.recipe, arguments.set)
    for stage in stages:
        if stage.file is None:
            _parsed(stage, world)  # what is wrong with it is better known before the work than after it
    for number, stage in enumerate(stages, start=1):
        title = f"stage {number} of {len(stages)}, {stage.recipe.name} ({stage.recipe.command})"
        try:
            status = _run(stage, title, world)
        except KeyboardInterrupt:
            status = STOPPED
        if status != DONE:
            _tell(f"{title}: stopped; the same command goes on from here")
            return status
        _tell(f"{title}: made {stage.made}, {stage.made.stat().st_size / 1e6:.1f} MB")
    return DONE


def _tell(line: str) -> None:
    """Print a line that is seen at once, in a file too: stages take hours."""
    say(line)
    sys.stdout.flush()


def _run(stage: Stage, title: str, world: World) -> int:
    """Run a stage, or what is left of it; return the exit status."""
    if is_done(stage):
        _tell(f"{title}: is done already")
        return DONE
    begun = is_begun(stage)
    _tell(f"{title}: {'goes on' if begun else 'begins'}")
    if stage.file is not None:
        if begun:
            found = resume(stage.read().run_dir, stage.kind, world)
        else:
            note_begin(stage)
            found = start(stage.read(), world)
        return learn(found, stage.recipe.command, world)
    note_begin(stage)
    command, options = _parsed(stage, world)
    status = command.run(options)
    if status == DONE:
        note_end(stage)
    return status


def _parsed(stage: Stage, world: World) -> tuple[Command, Namespace]:
    """Return the command of a stage that has no recipe, and the arguments of its command line."""
    name = stage.recipe.command
    package, program = HOMES.get(name, ("training.commands", "captioner train"))
    command = cast("Command", import_module(f"{package}.{name.replace('-', '_')}"))
    parser = CommandParser(prog=f"stage {stage.recipe.name}: {program} {name}")
    command.add_arguments(parser)
    return command, parser.parse_args(_line(stage, world))


def _line(stage: Stage, world: World) -> list[str]:
    """Return the command line of a stage that has no recipe."""
    if stage.recipe.command == "export":
        return ["--checkpoint", str(stage.before[0].made), str(stage.made), *stage.recipe.arguments]
    files, rest = [str(one.made) for one in stage.before], ["--out", str(stage.made), *stage.recipe.arguments]
    if stage.recipe.command == "calibrate":
        return ["--checkpoint", *files, *_validation(stage), "--device", str(world.device), *rest]
    if stage.recipe.command == "add-class-words":
        return ["--checkpoint", *files, *caption_words(stage.data().data.source("train")), *rest]
    if stage.recipe.command in ("average", "join"):
        return [*files, "--name", stage.folder.name, *rest]
    return [*files, *rest]


def _validation(stage: Stage) -> Iterator[str]:
    """Yield the arguments that say which photos to look at and how to search: those of the run that it goes back to."""
    recipe = stage.data()
    yield from photo_words(recipe.data.source("val"))
    for field in fields(DecodingOptions):
        value = getattr(recipe.decoding, field.name)
        if value != DEFAULTS[field.name] and field.name in FLAGS and field.name != "num_captions":
            yield from (spelled(field.name), str(value))
