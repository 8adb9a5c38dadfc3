"""The training of an encoder to see concepts."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from captioner.encoders import ENCODERS
from captioner.tokenizers import TOKENIZERS, Tokenizer
from training.captioning.batches import Batch, CaptionBatches
from training.concepts.network import ConceptModel, ConceptNetwork, save_concepts
from training.concepts.recipe import ConceptRecipe
from training.concepts.words import captions_each, choose_words, count_words, mean_average_precision
from training.data import CaptionedImage
from training.initial.batch_norms import make_norms_fit
from training.initial.pretrained import RANDOM, start_encoder
from training.inputs.photos import MARGIN, AugmentedSource, PlainPhotos, store_photos
from training.runs.averaging import MovingAverage
from training.runs.distributed import World
from training.runs.optim import adamw, one_cycle
from training.runs.overview import data_rows, parameters_row, weights_name
from training.runs.provenance import captions_provenance, commit, public_recipe, weights_sha256
from training.runs.run import Run


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
    """

    network: ConceptNetwork
    tokenizer: Tokenizer
    words: list[str]
    images: list[CaptionedImage]
    targets: Tensor
    val_images: list[CaptionedImage]
    val_present: Tensor
    provenance: Mapping[str, Any]


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
    encoder = ENCODERS[recipe.encoder.name](recipe.encoder)
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
            "data": captions_provenance(recipe.data, images),
            "encoder_weights_sha256": weights_sha256(weights),
            **({"encoder_weights": RANDOM} if recipe.encoder_weights == RANDOM else {}),
            "commit": commit(),
        },
    )


VALIDATION_BATCH = 32
ALONE = World()


class ConceptTrainer(Run[Batch, ConceptModel]):
    """A run in which an encoder learns to see concepts; the best epoch is that of the highest mean average precision.

    The loss is the cross-entropy of all concepts of a photo, summed, as a mean over photos.

    Args:
        recipe: What to do.
        bench: What to do it with.
        world: One process, and its device.
    """

    piece = "photo"

    def __init__(self, recipe: ConceptRecipe, bench: ConceptBench, world: World = ALONE) -> None:
        self.recipe = recipe
        self.bench = bench
        training = recipe.training
        self.learner = bench.network.to(world.device)
        encoder = self.learner.encoder.to(memory_format=torch.channels_last)  # a third faster to learn on CPUs
        encoder.fine_tune(training.encoder_stage, training.freeze_norms)
        self.average = MovingAverage(self.learner, training.average, buffers=True)
        paths = [image.path for image in bench.images]
        store = store_photos(paths, round(recipe.image.size * MARGIN), Path(recipe.cache).expanduser())
        self.source = AugmentedSource(store, recipe.image)
        self.batches = CaptionBatches(
            bench.images,
            bench.tokenizer,
            size=training.images_per_batch,
            max_tokens=recipe.data.max_tokens,
            seed=recipe.seed,
        )
        self._rows = {image.image_id: row for row, image in enumerate(bench.images)}
        optimizer = adamw([self.learner.classifier, encoder], training.weight_decay)
        super().__init__(recipe.run_dir, training, self.learner, optimizer, len(self.batches), world)

    @property
    def modules(self) -> dict[str, nn.Module]:
        """What the run state holds the weights of."""
        return {"network": self.learner, "average": self.average}

    @property
    def epochs(self) -> int:
        """How often every photo is shown at most."""
        return self.recipe.training.epochs

    def _learning_rates(self) -> list[float]:
        training = self.recipe.training
        share = one_cycle(self.steps_done, self.epochs * self.epoch_steps, training.warmup)
        return [share * training.learning_rate] * 2 + [share * training.encoder_learning_rate] * 2

    def _batch(self) -> Batch:
        return self.batches.batch(self.source, self.progress.epoch, self.progress.position)

    def _pieces(self, batch: Batch) -> int:
        return len(batch.image_ids)

    def _describe(self, batch: Batch) -> str:
        return f"images {', '.join(map(str, batch.image_ids))}"

    def _loss(self, batch: Batch) -> Tensor:
        if batch.pixels is None:
            raise RuntimeError("the batch shows features in place of photos")
        device = self.world.device
        targets = self.bench.targets[[self._rows[image] for image in batch.image_ids]].to(device)
        with self._autocast():
            scores = self.learner(batch.pixels.to(device))
        return F.binary_cross_entropy_with_logits(scores, targets, reduction="sum") / len(targets)

    def _step(self, batch: Batch) -> float:
        """Learn from one batch; return its loss."""
        value = super()._step(batch)
        self.average.update_parameters(self.learner)
        return value

    def _kept_model(self) -> ConceptModel:
        network = cast("ConceptNetwork", self.average.module)
        return ConceptModel(network.eval(), self.bench.words, self.bench.provenance)

    @torch.inference_mode()
    def _validate(self, model: ConceptModel) -> dict[str, float]:
        paths = [image.path for image in self.bench.val_images]
        photos = PlainPhotos(paths, self.recipe.image)
        starts = tqdm(range(0, len(paths), VALIDATION_BATCH), desc="validating", unit="batch")
        with self._autocast():
            scores = [
                model.network(photos.pixels(start, start + VALIDATION_BATCH).to(self.world.device)).cpu()
                for start in starts
            ]
        return {"mean_average_precision": mean_average_precision(torch.cat(scores), self.bench.val_present)}

    def _quality(self, entry: dict[str, float]) -> tuple[float, ...]:
        return entry["mean_average_precision"], -entry["loss"]

    def _told(self, entry: dict[str, float]) -> str:
        return f"loss {entry['loss']:.4f}, mean average precision {100 * entry['mean_average_precision']:.2f}"

    def overview(self) -> list[tuple[str, str]]:
        """Return what the run learns from, with what and where."""
        recipe, learner = self.recipe, self.learner
        weights = weights_name(recipe.encoder_weights)
        return [
            *data_rows(self.bench.images, self.bench.val_images),
            ("concepts", f"{len(self.bench.words):,} words"),
            ("encoder", f"{recipe.encoder.name}, {recipe.image.size} pixels, {weights}"),
            parameters_row(learner, (("encoder", learner.encoder), ("classifier", learner.classifier))),
            ("epochs", f"{self.epochs}, of {self.epoch_steps:,} batches"),
            *super().overview(),
        ]

    def remarks(self) -> list[str]:
        """Return whether no epoch's precision was above 0."""
        history = self.progress.history
        if not history or any(entry["mean_average_precision"] > 0 for entry in history):
            return []
        return [
            "the mean average precision was 0 in every epoch, so that the loss decided which one is kept; "
            "more validation photos are needed, a concept counts if at least 5 of them have it"
        ]

    def _write_best(self, model: ConceptModel, found: dict[str, Any]) -> None:
        described = ConceptModel(model.network, model.words, {**model.provenance, **found})
        save_concepts(described, self.best_file)
