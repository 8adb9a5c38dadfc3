"""Measure what each ingredient of training brings: runs from one seed, each with one ingredient more than the last.

The runs learn from the first photos of the recipe's training set and validate on all of its validation set. A run
that was stopped goes on where it was, and one that is finished is not run again. Prints its table in
docs/results.md.
"""

import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from torch import nn

from captioner.decoding import DecodingOptions
from captioner.predictor import CaptionPredictor
from training.concepts.recipe import ConceptRecipe
from training.data import load_captioned_images
from training.evaluation.bootstrap import Bootstrap
from training.evaluation.evaluate import Evaluation, evaluate
from training.phase import PhaseRecipe
from training.recipe import Recipe, load_recipe, read_recipe
from training.runs.folder import RunFolder
from training.runs.start import AnyRecipe, resume, start

EPILOG = __doc__
SEARCH = DecodingOptions(length_penalty=0.0)
GREEDY = DecodingOptions(beam_size=1, length_penalty=0.0)
RANKED = DecodingOptions()
RESAMPLES = 1000
AVERAGE = 0.995  # of the weights, over some 200 steps, since the runs are short
BLANK = "cross-entropy"
TAUGHT = "+ an encoder taught which words people use of the photos"
HEADER = "| run | BLEU-4 | ROUGE-L | CIDEr | 95% | words | distinct |"


def learning(epochs: int, **fields: object) -> PhaseRecipe:
    """Return a phase of cross-entropy."""
    return replace(PhaseRecipe(epochs=epochs, learning_rate=1e-3, warmup=0.05, label_smoothing=0.0), **fields)  # type: ignore[arg-type]


def phased(base: Recipe, *phases: PhaseRecipe) -> Recipe:
    """Return a recipe with other phases."""
    return replace(base, training=replace(base.training, phases=phases))


def series(recipe: Recipe, epochs: int, taught_weights: Path) -> Mapping[str, Recipe]:
    """Return the runs in order; those that start with a plus have one ingredient more than the last one that does.

    Args:
        recipe: Whose encoder starts with ImageNet's weights.
        epochs: Of each run.
        taught_weights: Of its encoder once it has been taught words.
    """
    training = replace(recipe.training, average=0.0, patience=10_000, images_per_batch=20)
    data = replace(recipe.data, mirror=False, augmented=0)
    untied = replace(recipe.model, decoder=replace(recipe.model.decoder, tied=False))
    base = replace(recipe, model=untied, data=data, training=training, decoding=GREEDY)
    plain = phased(base, learning(epochs))
    small = replace(plain, training=replace(plain.training, images_per_batch=10))
    tied = replace(small, model=replace(untied, decoder=replace(untied.decoder, tied=True)))
    smooth = phased(tied, learning(epochs, label_smoothing=0.1))
    averaged = replace(smooth, training=replace(smooth.training, average=AVERAGE))
    shown = replace(averaged, data=replace(data, mirror=True, augmented=2))
    taught = replace(shown, encoder_weights=str(taught_weights))
    first = epochs // 3
    tuned = phased(
        taught,
        learning(first, label_smoothing=0.1, schedule="constant"),
        learning(epochs - first, label_smoothing=0.1, encoder_stage="stride16", encoder_learning_rate=1e-4),
    )
    kept = RunFolder(replace(taught, name=TAUGHT).run_dir).best_file
    further = replace(taught, start_from=str(kept), encoder_weights="")
    critical = learning(first, learning_rate=1e-4, cross_entropy=0.0, self_critical=1.0, sampling="beam", dropout=0.3)
    again = learning(first, learning_rate=1e-4, label_smoothing=0.1)
    return {
        BLANK: plain,
        "+ starting from the frequencies of words": plain,
        "+ 10 photos per step, not 20": small,
        "+ tied word vectors": tied,
        "+ label smoothing": smooth,
        "+ averaged weights": averaged,
        "+ mirrored and augmented photos": shown,
        TAUGHT: taught,
        "the same, CNN fine-tuned in the last two thirds": tuned,
        "+ self-critical": phased(further, critical),
        "instead of that, cross-entropy for as long": phased(further, again),
    }


def first_photos(recipe: Recipe, count: int, folder: Path) -> Recipe:
    """Return the recipe on the first photos of its training set."""
    content = json.loads(recipe.data.path("train_annotations").read_text())
    kept = content["images"][:count]
    ids = {image["id"] for image in kept}
    captions = [caption for caption in content["annotations"] if caption["image_id"] in ids]
    file = folder / f"first_{count}.json"
    file.write_text(json.dumps({**content, "images": kept, "annotations": captions}))
    return replace(recipe, data=replace(recipe.data, train_annotations=str(file.resolve())))


def trained(recipe: AnyRecipe, blank: bool = False) -> Path | None:
    """Return the best epoch's checkpoint of a run, after running it as far as is needed; none if it was stopped.

    Args:
        recipe: The run.
        blank: Whether it starts with all words equally likely.
    """
    run = resume(recipe.run_dir, type(recipe)) if RunFolder(recipe.run_dir).state_file.exists() else start(recipe)
    if blank and not run.progress.steps(run.task.epoch_steps):
        nn.init.zeros_(run.task.model.decoder.output.bias)
    if not run.run():
        print("stopped; the same command goes on from here", file=sys.stderr)
        return None
    best: Path = run.best_file
    return best


def row(name: str, found: Evaluation) -> str:
    """Return a line of the table."""
    report, low, high = found.report, *found.intervals()["CIDEr"]
    numbers = (100 * report.bleu[3], 100 * report.rouge_l, 100 * report.cider)
    texts = [caption.text for caption in found.captions]
    words = sum(len(text.split()) for text in texts) / len(texts)
    scores = " | ".join(f"{number:.2f}" for number in numbers)
    return f"| {name} | {scores} | {low:.1f} to {high:.1f} | {words:.1f} | {len(set(texts))} |"


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--recipe", type=Path, required=True, help="TOML file of a captioning recipe")
    parser.add_argument("--concepts", type=Path, required=True, help="TOML file of a recipe that teaches words")
    parser.add_argument("--photos", type=int, default=2000, help="to learn from (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=9, help="of each run (default: %(default)s)")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/ingredients"), help="folder of the runs (default: %(default)s)"
    )
    parser.add_argument("--set", action="append", default=[], metavar="KEY.SUB=VALUE", dest="overrides")


def run(arguments: Namespace) -> int:
    """Train and score one run after the other, and print a row for each; 1 if one was stopped, to go on from there."""
    arguments.out.mkdir(parents=True, exist_ok=True)
    base = first_photos(load_recipe(arguments.recipe, arguments.overrides), arguments.photos, arguments.out)
    base = replace(base, runs=str(arguments.out))
    concepts = read_recipe(ConceptRecipe, arguments.concepts, [])
    words = replace(concepts, data=base.data, encoder_weights=base.encoder_weights, name="concepts", runs=base.runs)
    taught = trained(words)
    if taught is None:
        return 1
    images = load_captioned_images(base.data.path("val_annotations"), base.data.path("val_images"))
    print(HEADER, "|---|---|---|---|---|---|---|", sep="\n")
    predictor = None
    for name, recipe in series(base, arguments.epochs, taught).items():
        file = trained(replace(recipe, name=name), name == BLANK)
        if file is None:
            return 1
        predictor = CaptionPredictor.from_checkpoint(file)
        print(row(name, evaluate(predictor, images, SEARCH, None, Bootstrap(RESAMPLES))), flush=True)
    for name, options in (("the same, greedy", GREEDY), ("the same, ranked by length (penalty 0.5)", RANKED)):
        if predictor is not None:
            print(row(name, evaluate(predictor, images, options, None, Bootstrap(RESAMPLES))), flush=True)
    return 0
