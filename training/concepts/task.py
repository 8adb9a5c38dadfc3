"""The task of concepts: an encoder learns to see what words people use of a photo."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from captioner.encoders import build_encoder
from captioner.tokenizers import TOKENIZERS, Tokenizer
from training.captioning.batches import Batch, CaptionBatches
from training.concepts.network import ConceptModel, ConceptNetwork, save_concepts
from training.concepts.recipe import ConceptRecipe
from training.concepts.words import captions_each, choose_words, count_words, mean_average_precision
from training.data import CaptionedImage
from training.distillation import ClassTeacher, class_teacher
from training.initial.batch_norms import make_norms_fit
from training.initial.pretrained import RANDOM, start_encoder
from training.inputs.photos import MARGIN, AugmentedSource, PlainPhotos, store_photos
from training.runs.averaging import MovingAverage
from training.runs.distributed import World
from training.runs.optim import adamw, autocast, one_cycle
from training.runs.overview import data_rows, parameters_row, weights_name
from training.runs.provenance import captions_provenance, commit, public_recipe, weights_sha256
from training.runs.state import Progress
from training.runs.task import Task
from training.runs.tensorboard import Board


@dataclass(frozen=True)
class ConceptBench:
    """What a run works with.

    Attributes:
        network: The pretrained encoder and a fresh classifier.
        tokenizer: Made from the training captions.
        words: The K concepts.
        images: What to learn from.
        targets: ``[I, K]``, from 0 to 1: how certain it is that they have the concepts.
        val_images: What to validate on.
        val_present: ``[J, K]``, whether these have the concepts, by two captions or the only one.
        provenance: Where the encoder comes from, as far as it is known before training.
        teacher: What it must not forget; ``None`` if that is nothing.
    """

    network: ConceptNetwork
    tokenizer: Tokenizer
    words: list[str]
    images: list[CaptionedImage]
    targets: Tensor
    val_images: list[CaptionedImage]
    val_present: Tensor
    provenance: Mapping[str, Any]
    teacher: ClassTeacher | None = None


def set_up_concepts(recipe: ConceptRecipe) -> ConceptBench:
    """Read the captions, choose the concepts and build the network.

    Raises:
        ConfigError: If the encoder or its weights cannot be used.
        DataError: If annotations cannot be used, or give no concept.
    """
    images, val_images = recipe.data.source("train").load(), recipe.data.source("val").load()
    captions = (text for image in images for text in image.captions)
    tokenizer = TOKENIZERS[recipe.tokenizer].learn(captions, min_count=1)
    words = choose_words(images, tokenizer.split, recipe.words)
    torch.manual_seed(recipe.seed)
    encoder = build_encoder(recipe.encoder)
    weights = start_encoder(encoder, recipe.encoder.name, recipe.encoder_weights, images, recipe.image)
    if not recipe.training.freeze_norms:
        make_norms_fit(encoder, images, recipe.image)
    sure = captions_each(images).clamp(max=recipe.words.agreement)
    val_sure = captions_each(val_images).clamp(max=2)
    return ConceptBench(
        network=ConceptNetwork(encoder, len(words), recipe.training.dropout),
        tokenizer=tokenizer,
        words=words,
        images=images,
        targets=(count_words(images, tokenizer.split, words) / sure).clamp(max=1),
        val_images=val_images,
        val_present=count_words(val_images, tokenizer.split, words) >= val_sure,
        provenance={
            "name": recipe.name,
            "version": recipe.version,
            "recipe": public_recipe(recipe),
            "data": captions_provenance(recipe.data, images, val_images),
            "encoder_weights_sha256": weights_sha256(weights),
            **({"encoder_weights": RANDOM} if recipe.encoder_weights == RANDOM else {}),
            "commit": commit(),
        },
        teacher=class_teacher(recipe.encoder, recipe.distillation),
    )


VALIDATION_BATCH = 32
ALONE = World()


class ConceptTask(Task[Batch]):
    """An encoder learns to see concepts; the best epoch is that of the highest mean average precision.

    The loss is the cross-entropy of all concepts of a photo, summed, as a mean over photos, and the divergence from the
    classes that the encoder must not forget.

    Args:
        recipe: What to do.
        bench: What to do it with.
        world: One process, and its device.
    """

    def __init__(self, recipe: ConceptRecipe, bench: ConceptBench, world: World = ALONE) -> None:
        self.recipe = recipe
        self.bench = bench
        self.world = world
        training = recipe.training
        self.network: ConceptNetwork = bench.network.to(world.device)
        encoder = self.network.encoder.to(memory_format=torch.channels_last)  # a third faster to learn on CPUs
        encoder.fine_tune(training.encoder_stage, training.freeze_norms)
        self.average: MovingAverage = MovingAverage(self.network, training.average, buffers=True)
        self.teacher = bench.teacher.to(world.device) if bench.teacher else None
        self.modules = {"network": self.network, "average": self.average}
        paths = [image.path for image in bench.images]
        store = store_photos(paths, round(recipe.image.size * MARGIN), Path(recipe.cache).expanduser())
        self.source = AugmentedSource(store, recipe.image, recipe.data.augmentation, world.device)
        self.batches = CaptionBatches(
            bench.images,
            bench.tokenizer,
            size=training.images_per_batch,
            max_tokens=recipe.data.max_tokens,
            seed=recipe.seed,
        )
        self.epochs = (training.epochs,)
        self.epoch_steps = len(self.batches)
        self._rows = {image.image_id: row for row, image in enumerate(bench.images)}
        self.optimizer = adamw([self.network.classifier, encoder], training.weight_decay)

    def batch(self, progress: Progress) -> Batch:
        """Return augmented photos."""
        return self.batches.batch(self.source, progress.epoch, progress.position)

    def rates(self, progress: Progress) -> list[float]:
        """Return the learning rates of the classifier's two groups, and of the encoder's."""
        training = self.recipe.training
        share = one_cycle(progress.steps(self.epoch_steps), training.epochs * self.epoch_steps, training.warmup)
        return [share * training.learning_rate] * 2 + [share * training.encoder_learning_rate] * 2

    def loss(self, batch: Batch, progress: Progress) -> Iterator[Tensor]:  # noqa: ARG002
        """Yield the loss, the same at every position."""
        if batch.pixels is None:
            raise RuntimeError("the batch shows features in place of photos")
        device = self.world.device
        targets = self.bench.targets[[self._rows[image] for image in batch.image_ids]].to(device)
        pixels = batch.pixels.to(device)
        with autocast(self.recipe.training.precision, device):
            features = self.network.encoder(pixels)
            scores = self.network.log_odds(features)
            divergence = self.teacher(pixels, features.vector) if self.teacher else 0.0
        yield F.binary_cross_entropy_with_logits(scores, targets, reduction="sum") / len(targets) + divergence

    def _kept(self) -> ConceptNetwork:
        return cast("ConceptNetwork", self.average.module).eval()

    @torch.inference_mode()
    def validate(self, progress: Progress, board: Board | None) -> dict[str, float]:  # noqa: ARG002
        """Look for the concepts in the validation photos."""
        paths = [image.path for image in self.bench.val_images]
        photos, network, device = PlainPhotos(paths, self.recipe.image), self._kept(), self.world.device
        starts = tqdm(range(0, len(paths), VALIDATION_BATCH), desc="validating", unit="batch")
        with autocast(self.recipe.training.precision, device):
            scores = [network(photos.pixels(start, start + VALIDATION_BATCH).to(device)).cpu() for start in starts]
        return {"mean_average_precision": mean_average_precision(torch.cat(scores), self.bench.val_present)}

    def quality(self, entry: Mapping[str, float]) -> tuple[float, ...]:
        """Return the precision, and then the loss."""
        return entry["mean_average_precision"], -entry["loss"]

    def export(self, path: Path, found: Mapping[str, Any]) -> None:
        """Write the averaged encoder and its classifier."""
        save_concepts(ConceptModel(self._kept(), self.bench.words, {**self.bench.provenance, **found}), path)

    def pieces(self, batch: Batch) -> tuple[int, str]:
        """Return how many photos a batch has."""
        return len(batch.image_ids), "photos"

    def describe(self, batch: Batch) -> str:
        """Name the images."""
        return f"images {', '.join(map(str, batch.image_ids))}"

    def told(self, progress: Progress) -> str:
        """Return the loss, and the precision as a percentage."""
        entry = progress.history[-1]
        return f"loss {entry['loss']:.4f}, mean average precision {100 * entry['mean_average_precision']:.2f}"

    def overview(self) -> list[tuple[str, str]]:
        """Return what is learnt from, and with what."""
        recipe, network = self.recipe, self.network
        weights = weights_name(recipe.encoder.name, recipe.encoder_weights)
        return [
            *data_rows(self.bench.images, self.bench.val_images),
            ("concepts", f"{len(self.bench.words):,} words"),
            ("encoder", f"{recipe.encoder.name}, {recipe.image.size} pixels, {weights}"),
            parameters_row(network, (("encoder", network.encoder), ("classifier", network.classifier))),
            ("epochs", f"{recipe.training.epochs}, of {self.epoch_steps:,} batches"),
        ]

    def remarks(self, history: Sequence[Mapping[str, float]]) -> list[str]:
        """Return whether no epoch's precision was above 0."""
        if not history or any(entry["mean_average_precision"] > 0 for entry in history):
            return []
        return [
            "the mean average precision was 0 in every epoch, so that the loss decided which one is kept; "
            "more validation photos are needed, a concept counts if at least 5 of them have it"
        ]
