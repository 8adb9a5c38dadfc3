"""What each ingredient of training brings: runs from one seed, each with one ingredient more than the last.

python benchmarks/ingredients.py --recipe RECIPE.toml --photos 2000 --out runs/ingredients [--set KEY.SUB=VALUE ...]

The runs learn from the first photos of the recipe's training set and validate on all of its validation set. A run that
was stopped goes on where it was, and one that is finished is not run again. Prints the table of docs/ingredients.md.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from captioner.decoding import DecodingOptions
from captioner.predictor import CaptionPredictor
from training.data import load_captioned_images
from training.evaluation.bootstrap import Bootstrap
from training.evaluation.evaluate import Evaluation, evaluate
from training.fit import resume, start
from training.phase import PhaseRecipe
from training.recipe import Recipe, load_recipe

SEARCH = DecodingOptions(length_penalty=0.0)
GREEDY = DecodingOptions(beam_size=1, length_penalty=0.0)
RANKED = DecodingOptions()
RESAMPLES = 1000
HEADER = "| run | BLEU-4 | ROUGE-L | CIDEr | 95% | words | distinct |"


def learning(epochs: int, **fields: object) -> PhaseRecipe:
    """Return a phase of cross-entropy."""
    return replace(PhaseRecipe(epochs=epochs, learning_rate=1e-3, warmup=0.05, label_smoothing=0.0), **fields)  # type: ignore[arg-type]


def series(recipe: Recipe, epochs: int) -> Mapping[str, Recipe]:
    """Return the runs in order, each with one ingredient more than the one before it."""
    training = replace(recipe.training, average=0.0, patience=10_000, images_per_batch=20)
    data = replace(recipe.data, mirror=False, augmented=0)
    plain = replace(recipe, data=data, training=replace(training, phases=(learning(epochs),)), decoding=SEARCH)

    def phases(base: Recipe, *parts: PhaseRecipe) -> Recipe:
        return replace(base, training=replace(base.training, phases=parts))

    smooth = phases(plain, learning(epochs, label_smoothing=0.1))
    averaged = replace(smooth, training=replace(smooth.training, average=recipe.training.average))
    mirrored = replace(averaged, data=replace(data, mirror=True))
    first = epochs // 3
    tuned = phases(
        mirrored,
        learning(first, label_smoothing=0.1, schedule="constant"),
        learning(epochs - first, label_smoothing=0.1, encoder_stage="stride16", encoder_learning_rate=1e-4),
    )
    longer = phases(tuned, *tuned.training.phases, learning(first, learning_rate=1e-4, label_smoothing=0.1))
    critical = replace(learning(first, learning_rate=1e-4), cross_entropy=0.0, self_critical=1.0, sampling="beam")
    criticised = phases(tuned, *tuned.training.phases, replace(critical, dropout=0.3))
    return {
        "cross-entropy": plain,
        "+ label smoothing": smooth,
        "+ averaged weights": averaged,
        "+ mirrored photos": mirrored,
        "+ CNN fine-tuned, photos augmented": tuned,
        "as long again as the next, by cross-entropy": longer,
        "+ self-critical": criticised,
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


def trained(recipe: Recipe) -> Path:
    """Return the last epoch's checkpoint of a run, after running it as far as is needed."""
    run = resume(recipe.run_dir) if (recipe.run_dir / "run_state.safetensors").exists() else start(recipe)
    if not run.run():
        raise SystemExit("stopped; the same command goes on from here")
    return run.best_file


def row(name: str, found: Evaluation) -> str:
    """Return a line of the table."""
    report, low, high = found.report, *found.intervals()["CIDEr"]
    numbers = (100 * report.bleu[3], 100 * report.rouge_l, 100 * report.cider)
    texts = [caption.text for caption in found.captions]
    words = sum(len(text.split()) for text in texts) / len(texts)
    scores = " | ".join(f"{number:.2f}" for number in numbers)
    return f"| {name} | {scores} | {low:.1f} to {high:.1f} | {words:.1f} | {len(set(texts))} |"


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", type=Path, required=True)
    parser.add_argument("--photos", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=9)
    parser.add_argument("--out", type=Path, default=Path("runs/ingredients"))
    parser.add_argument("--set", action="append", default=[], metavar="KEY.SUB=VALUE", dest="overrides")
    args = parser.parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    base = first_photos(load_recipe(args.recipe, args.overrides), args.photos, args.out)
    base = replace(base, runs=str(args.out))
    images = load_captioned_images(base.data.path("val_annotations"), base.data.path("val_images"))
    print(HEADER, "|---|---|---|---|---|---|---|", sep="\n")
    for number, (name, recipe) in enumerate(series(base, args.epochs).items()):
        predictor = CaptionPredictor.from_checkpoint(trained(replace(recipe, name=f"{number}")))
        print(row(name, evaluate(predictor, images, SEARCH, None, Bootstrap(RESAMPLES))), flush=True)
    for name, options in (("the same, greedy", GREEDY), ("the same, ranked by length (penalty 0.5)", RANKED)):
        print(row(name, evaluate(predictor, images, options, None, Bootstrap(RESAMPLES))), flush=True)


if __name__ == "__main__":
    main()
