"""``python -m training``: train a model, measure one, or look into one."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from captioner.decoding import DecodingOptions
from captioner.errors import CaptionerError
from captioner.predictor import CaptionPredictor
from training.coco import load_captioned_images
from training.commands import fit_text, gradients, sample, units
from training.errors import TrainingError
from training.evaluate import evaluate
from training.fit import resume, start
from training.recipe import load_recipe

DEFAULTS = DecodingOptions()
COMMANDS = {"fit-text": fit_text, "sample": sample, "units": units, "gradients": gradients}
STOPPED = 130  # what a shell reports of a command that SIGINT ended


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    commands = top.add_subparsers(required=True)

    fit = commands.add_parser("fit", help="train a model by a recipe; Ctrl-C stops it so that it can be resumed")
    source = fit.add_mutually_exclusive_group(required=True)
    source.add_argument("--recipe", type=Path, metavar="FILE.toml", help="start the run that the recipe describes")
    source.add_argument("--resume", type=Path, metavar="RUN", help="go on with the run in this folder")
    fit.add_argument("--set", action="append", default=[], metavar="KEY.SUB=VALUE", help="replace a recipe's value")
    fit.set_defaults(run=run_fit)

    measure = commands.add_parser("evaluate", help="score a checkpoint's captions")
    measure.add_argument("--annotations", type=Path, required=True, help="COCO captions file with the references")
    measure.add_argument("--images", type=Path, required=True, help="folder of its photos")
    measure.add_argument("--checkpoint", type=Path, help="the model; the shipped one if left out")
    measure.add_argument("--beam-size", type=int, default=DEFAULTS.beam_size, help="default: %(default)s")
    measure.add_argument("--max-length", type=int, default=DEFAULTS.max_length, help="default: %(default)s")
    measure.add_argument("--length-penalty", type=float, default=DEFAULTS.length_penalty, help="default: %(default)s")
    measure.add_argument("--limit", type=int, help="only the first LIMIT photos by id")
    measure.add_argument("--json", type=Path, metavar="OUT", help="also write scores, protocol and captions there")
    measure.set_defaults(run=run_evaluate)

    for name, command in COMMANDS.items():
        added = commands.add_parser(
            name, help=command.HELP, description=f"{command.HELP[0].upper()}{command.HELP[1:]}."
        )
        command.add_arguments(added)
        added.set_defaults(run=command.run)
    return top


def run_fit(args: argparse.Namespace) -> int:
    """Start or resume a run."""
    if args.resume and args.set:
        raise TrainingError("--set changes a recipe; a resumed run keeps its own")
    trainer = resume(args.resume) if args.resume else start(load_recipe(args.recipe, args.set))
    if not trainer.run():
        print(f"stopped; go on with: python -m training fit --resume {trainer.folder}")
        return STOPPED
    best = trainer.best_epoch
    print(f"finished; the best epoch is {0 if best is None else best + 1}: {trainer.best_file}")
    return 0


def run_evaluate(args: argparse.Namespace) -> int:
    """Print a checkpoint's scores and how they were measured."""
    options = DecodingOptions(beam_size=args.beam_size, max_length=args.max_length, length_penalty=args.length_penalty)
    if args.limit is not None and args.limit < 1:
        raise TrainingError(f"--limit is {args.limit}; it must be at least 1")
    images = load_captioned_images(args.annotations, args.images)[: args.limit]
    result = evaluate(CaptionPredictor.from_checkpoint(args.checkpoint), images, options)
    print(result)
    if args.json:
        args.json.write_text(json.dumps(result.to_dict(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    args = parser().parse_args(argv)
    try:
        return int(args.run(args))
    except (CaptionerError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
