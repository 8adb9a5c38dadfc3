"""Runs on the set of shapes, and the time of their steps: on kept features, with the encoder, and by reward."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.timing import Work
from captioner.config import from_dict
from training.inputs.photos import PlainPhotos
from training.recipe import Recipe
from training.recipe_file import override
from training.runs.distributed import World
from training.runs.run import Run
from training.runs.start import start

PHASES: Mapping[str, Mapping[str, Any]] = {
    "cross-entropy on kept features": {"epochs": 1},
    "cross-entropy, the encoder learns": {"epochs": 1, "encoder_stage": "stride16", "freeze_norms": False},
    "self-critical on kept features": {
        "epochs": 1,
        "cross_entropy": 0.0,
        "self_critical": 1.0,
        "sampling": "beam",
        "learning_rate": 1e-4,
    },
}


@dataclass(frozen=True)
class Sizes:
    """What a run is made of.

    Attributes:
        encoder: Its name.
        pixels: Of a side of what it sees.
        units: Of the decoder: of its words, layers and attention.
        photos: In a batch.
    """

    encoder: str = "mobilenet_v2"
    pixels: int = 224
    units: int = 512
    photos: int = 20


def shapes_recipe(
    folder: Path,
    name: str,
    sizes: Sizes,
    phases: Sequence[Mapping[str, Any]],
    precision: str,
    overrides: Sequence[str] = (),
) -> Recipe:
    """Return the recipe of a run on a set that :func:`benchmarks.training.shapes.write_shapes` drew.

    Args:
        folder: Where the set lies; the run and its features are kept there, too.
        name: Of the run.
        sizes: Of its network and batches.
        phases: What it learns, as a recipe says it.
        precision: "float32", "bfloat16" or "auto".
        overrides: ``key.sub=value`` texts that replace values.

    Raises:
        ConfigError: If a value is not one that a recipe may have.
    """
    units = sizes.units
    values: dict[str, Any] = {
        "name": name,
        "runs": str(folder / "runs"),
        "cache": str(folder / "cache"),
        "encoder_weights": "random",
        "data": {
            "root": str(folder),
            "train_annotations": "train.json",
            "train_images": "train",
            "val_annotations": "val.json",
            "val_images": "val",
        },
        "tokenizer": {"min_count": 1},
        "model": {
            "image": {"size": sizes.pixels},
            "encoder": {"name": sizes.encoder},
            "decoder": {"embedding_size": units, "hidden_size": units, "attention_size": units, "tied": True},
        },
        "training": {"images_per_batch": sizes.photos, "precision": precision, "phases": [dict(one) for one in phases]},
    }
    override(values, Recipe, overrides)
    return from_dict(Recipe, values)


def synchronised(device: torch.device, run: Callable[[], object]) -> Callable[[], object]:
    """Return work that is over only when the device has done all of it."""
    if device.type != "cuda":
        return run

    def both() -> object:
        result = run()
        torch.cuda.synchronize(device)
        return result

    return both


def step_works(
    folder: Path, sizes: Sizes, precision: str, device: torch.device, overrides: Sequence[str] = ()
) -> list[Work]:
    """Return a step of each kind of phase, batch after batch, counted in captions."""
    works = []
    for number, (name, phase) in enumerate(PHASES.items()):
        recipe = shapes_recipe(folder, f"{device.type}-{precision}-{number}", sizes, [phase], precision, overrides)
        works.append(_steps(name, start(recipe, World(device=device)), device))
    return works


def _steps(name: str, run: Run[Any], device: torch.device) -> Work:
    """Return one step of a run; it goes through the same epoch again and again."""
    run.task.enter(run.progress)
    run.task.network.train()
    whole = max(len(run.task.batches.images) // run.task.batches.size, 1)  # batches that are full
    done = 0

    def step() -> object:
        nonlocal done
        run.progress.position = done % whole
        done += 1
        return run.step(run.task.batch(run.progress))

    run.progress.position = 0
    captions, _ = run.task.pieces(run.task.batch(run.progress))
    return Work(name, synchronised(device, step), captions)


def encode_work(run: Run[Any], device: torch.device) -> Work:
    """Return the encoding of one batch of a run's photos, as it fills the cache of features."""
    task = run.task
    paths = [image.path for image in task.bench.images[: task.batches.size]]
    pixels = PlainPhotos(paths, task.model.config.image).pixels(0, len(paths))

    @torch.inference_mode()
    def encode() -> object:
        with torch.autocast(device.type, torch.bfloat16, enabled=task.sources.low_precision):
            return task.model(pixels.to(device))

    return Work("encoding photos", synchronised(device, encode), len(paths))
