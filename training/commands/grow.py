"""``captioner train grow``: let a model learn from corrections, and keep what it knew."""

import shutil
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path

from captioner.commands.arguments import add_decoding, add_device, decoding_options
from captioner.commands.output import DONE, say, warn
from captioner.config import from_dict
from captioner.devices import find_device
from captioner.header import SHIPPED, CheckpointFile
from training.commands.files import checkpoint_to_write
from training.data import CaptionedImage, CaptionSource
from training.errors import TrainingError
from training.growing.finish import compare, finish, put_in_place
from training.growing.recipe import CORRECTIONS, GrowRecipe, GrowTraining
from training.growing.setup import GrowBench, require_same, set_up_growth
from training.growing.task import GrowTask
from training.recipe_file import override
from training.recipe_keys import listing
from training.runs.distributed import World
from training.runs.folder import RunFolder
from training.runs.overview import overview_text
from training.runs.provenance import sha256
from training.runs.run import Run

KEYS = listing(GrowTraining).replace("keys of a recipe", "keys of --set").replace("\n  ", "\n  training.")
EPILOG = f"""\
DIR is what captioner serve --corrections DIR fills: {CORRECTIONS} and photos.

give the captions that the model learnt from, so that it is shown some of them again:
without them only its weights are held near what they were. give validation captions, so
that OUT is replaced only if no more CIDEr is lost than --most-lost.

stopped by Ctrl-C, killed or ended by a power cut, the same command goes on where it was;
what it needs for that lies in OUT.growing until OUT is there.

example:
  captioner train grow --corrections kept --checkpoint model.safetensors --out model.safetensors \\
    --annotations captions_train.json --images train \\
    --val-annotations captions_val.json --val-images val

{KEYS}"""
STOPPED = 130  # what a shell reports of a command that SIGINT ended


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--corrections", type=Path, required=True, metavar="DIR", help="the service's corrections")
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="the model; default: the shipped one")
    parser.add_argument(
        "--out", type=checkpoint_to_write, required=True, metavar="OUT", help="the new one; it may be the same file"
    )
    for prefix, what in (("", "that the model learnt from"), ("val-", "to compare both models on")):
        parser.add_argument(f"--{prefix}annotations", type=Path, metavar="FILE", help=f"captions {what}")
        parser.add_argument(f"--{prefix}images", type=Path, metavar="DIR", help="folder of their photos")
        parser.add_argument(f"--{prefix}split", nargs="+", default=(), metavar="NAME", help="only these splits")
    parser.add_argument(
        "--most-lost",
        type=_points,
        default=1.0,
        metavar="POINTS",
        help="most CIDEr that may be lost on the validation photos; default: %(default)s",
    )
    parser.add_argument("--limit", type=int, metavar="N", help="compare on the first N validation photos by id")
    parser.add_argument("--cache", default="cache", metavar="DIR", help="of photos' features; default: %(default)s")
    parser.add_argument("--set", action="append", default=[], metavar="training.KEY=VALUE", help="how to learn")
    add_device(parser)
    add_decoding(parser, without={"num_captions"})


def run(arguments: Namespace) -> int:
    """Let a model grow; return the exit status."""
    options = decoding_options(arguments)
    images = _validation(arguments)
    old = CheckpointFile.read(arguments.checkpoint)
    recipe = _recipe(arguments, old)
    run, bench = _begin(recipe, World(device=find_device(arguments.device)))
    say(overview_text(run.overview()))
    if not run.run():
        say("stopped; the same command goes on")
        return STOPPED
    candidate = run.folder / "candidate.safetensors"
    finish(old, run.best_file, candidate)
    if images:
        found = compare(old.path, candidate, images, options)
        say(f"CIDEr on {len(images):,} validation photos: {found.before:.2f} before, {found.after:.2f} now")
        found.require(arguments.most_lost)
    put_in_place(candidate, arguments.out)
    shutil.rmtree(run.folder)
    _report(arguments, bench, compared=bool(images))
    return DONE


def _report(arguments: Namespace, bench: GrowBench, compared: bool) -> None:
    say(f"wrote {arguments.out}: version {bench.provenance['version']}, {len(bench.new_words)} new words")
    if not compared:
        warn("no validation captions were given; nobody knows what the model has forgotten")
    if bench.old.calibration is not None:
        warn(
            "its confidences are those that were fitted to the old model; to fit them anew: "
            f"captioner train calibrate --checkpoint {arguments.out} --out {arguments.out} "
            "--annotations FILE --images DIR"
        )


def _points(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1000:
        raise ArgumentTypeError(f"{text}: it must be from 0 to 1000")
    return value


def _validation(arguments: Namespace) -> list[CaptionedImage]:
    """Return the validation photos; none if no captions of them are given."""
    for prefix in ("", "val_"):
        if (getattr(arguments, f"{prefix}annotations") is None) != (getattr(arguments, f"{prefix}images") is None):
            flag = "--" + prefix.replace("_", "-")
            raise TrainingError(f"{flag}annotations and {flag}images go together; give both or none")
    if arguments.limit is not None and arguments.limit < 1:
        raise TrainingError(f"--limit is {arguments.limit}; it must be at least 1")
    if arguments.val_annotations is None:
        return []
    return CaptionSource(arguments.val_annotations, arguments.val_images, tuple(arguments.val_split)).load()[
        : arguments.limit
    ]


def _recipe(arguments: Namespace, old: CheckpointFile) -> GrowRecipe:
    """Return what the arguments ask for, by which a run that was stopped is known again."""
    listed = arguments.corrections / CORRECTIONS
    if not listed.is_file():
        raise TrainingError(f"{arguments.corrections} holds no corrections: there is no {listed}")
    values = {
        "runs": str(arguments.out.parent),
        "name": f"{arguments.out.name}.growing",
        "checkpoint": str(arguments.checkpoint or SHIPPED),
        "checkpoint_sha256": old.sha256,
        "corrections": str(arguments.corrections),
        "corrections_sha256": sha256(listed),
        "annotations": str(arguments.annotations or ""),
        "images": str(arguments.images or ""),
        "split": list(arguments.split),
        "cache": arguments.cache,
    }
    override(values, GrowRecipe, arguments.set)
    return from_dict(GrowRecipe, values, "the command line")


def _begin(recipe: GrowRecipe, world: World) -> tuple[Run[GrowTask], GrowBench]:
    """Start a run, or go on with the one that was stopped; one of other corrections or another model is forgotten."""
    folder = RunFolder(recipe.run_dir)
    goes_on = folder.holds_run and _kept(folder) == recipe
    if folder.path.exists() and not goes_on:
        shutil.rmtree(folder.path)
    bench = set_up_growth(recipe)
    require_same(recipe, CheckpointFile.read(Path(recipe.checkpoint)).sha256)
    run = Run(GrowTask(recipe, bench, world))
    if goes_on:
        run.resume()
    else:
        run.begin()
    return run, bench


def _kept(folder: RunFolder) -> GrowRecipe | None:
    try:
        return folder.read_recipe(GrowRecipe)
    except Exception:  # noqa: BLE001 - of another version, perhaps; it is begun anew
        return None
