"""The task of captioning: what a model learns from, its loss and its scores."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from captioner.attention import AdditiveAttention
from captioner.cells import Cell
from captioner.checkpoint import Checkpoint, save_checkpoint
from captioner.commands.output import warn
from captioner.images import read_image
from captioner.model import CaptionModel
from captioner.predictor import CaptionPredictor
from captioner.types import Features
from training.captioning.batches import Batch, CaptionBatches
from training.captioning.objective import CaptionLoss
from training.captioning.rewards import Reward
from training.captioning.setup import Workbench
from training.evaluation.evaluate import all_empty, best_captions, score
from training.evaluation.metrics import ALWAYS_ZERO, MetricReport, cider_is_always_zero
from training.inputs.sources import PhotoSource, Sources
from training.phase import PhaseRecipe
from training.recipe import Recipe
from training.runs.averaging import MovingAverage
from training.runs.distributed import World
from training.runs.optim import adamw, autocast, phase_share, uses_bfloat16
from training.runs.overview import data_rows, model_rows, vocabulary_row
from training.runs.state import Progress
from training.runs.task import Task
from training.runs.tensorboard import Board


def compile_parts(model: CaptionModel, backend: str) -> None:
    """Let torch compile the encoder, every cell and the attention when they are first used.

    The loop over words is left as it is: unrolled, it would be compiled anew for every length of caption.

    Args:
        model: Whose forward passes change their speed and, to rounding, nothing else.
        backend: A name in ``torch.compiler.list_backends()``.
    """
    model.encoder.compile(backend=backend)
    for module in model.decoder.modules():
        if isinstance(module, Cell | AdditiveAttention):
            module.compile(backend=backend, dynamic=True)


VALIDATION_BATCH = 32
SHOWN = 4  # validation photos that TensorBoard shows after every epoch
COMPARED = ("cider", "rouge_l", "bleu_4")  # by which epochs are compared, each where those before it are equal
PRINTED = {"cider": "CIDEr", "rouge_l": "ROUGE-L", **{f"bleu_{order}": f"BLEU-{order}" for order in range(1, 5)}}
ALONE = World()


class CaptionTask(Task[list[Batch]]):
    """A model learns to caption; the best epoch is that of the best validation CIDEr.

    Equal ones, such as 0, are decided by ROUGE-L, then by BLEU-4, then by the loss. ``patience`` counts from the first
    epoch whose CIDEr is above 0 (ROUGE-L, if the validation photos let CIDEr be nothing but 0).

    Args:
        recipe: What to do.
        bench: What to do it with.
        world: The processes that train together; each learns from its part of every batch.
    """

    def __init__(self, recipe: Recipe, bench: Workbench, world: World = ALONE) -> None:
        self.recipe = recipe
        self.bench = bench
        self.world = world
        self.network = self.model = bench.model.to(world.device)
        self.model.encoder.to(memory_format=torch.channels_last)  # a third faster to learn on CPUs
        training = recipe.training
        self.average = MovingAverage(self.model, training.average) if training.average else None
        self.modules = {"model": self.model, **({"average": self.average} if self.average else {})}
        low_precision = uses_bfloat16(training.precision, world.device)
        cache = Path(recipe.cache).expanduser()
        self.sources = Sources(
            bench.images, bench.val_images, self.model, cache, low_precision, recipe.data.augmentation
        )
        self.batches = CaptionBatches(
            bench.images,
            bench.tokenizer,
            size=training.images_per_batch,
            max_tokens=recipe.data.max_tokens,
            seed=recipe.seed,
        )
        self.epochs = tuple(phase.epochs for phase in training.phases)
        self.epoch_steps = len(self.batches)
        self.caption_loss = CaptionLoss(
            self.model,
            bench.tokenizer,
            _reward(recipe, bench),
            recipe.data.max_tokens,
            bench.teacher.to(world.device) if bench.teacher else None,
        )
        self.parallel: nn.Module = self.caption_loss
        self.source: PhotoSource | None = None
        self._entered: int | None = None
        self.cider_is_blind = cider_is_always_zero(image.captions for image in bench.val_images)
        if training.compile:
            compile_parts(self.model, training.compile)
        self.optimizer = adamw([self.model.decoder, self.model.encoder], training.weight_decay)

    def _phase(self, progress: Progress) -> PhaseRecipe:
        return self.recipe.training.phases[progress.phase]

    def enter(self, progress: Progress) -> None:
        """Choose what learns in the phase, and what its batches show of the photos, unless that is done."""
        if self._entered == progress.phase:
            return
        phase, data = self._phase(progress), self.recipe.data
        for module in self.model.decoder.modules():
            if isinstance(module, nn.Dropout):
                module.p = self.model.config.decoder.dropout if phase.dropout is None else phase.dropout
        self.model.encoder.fine_tune(phase.encoder_stage or None, phase.freeze_norms)
        if phase.encoder_stage:
            self.source = self.sources.photos()
        else:
            self.source = self.sources.features(data.mirror, data.augmented, self.batches.mirrorable)
        if self.world.size > 1:  # anew, since other weights learn
            self.parallel = DistributedDataParallel(self.caption_loss)
        self._entered = progress.phase

    def batch(self, progress: Progress) -> list[Batch]:
        """Return the parts of the batch that this process learns from, one after the other."""
        if self.source is None:
            raise RuntimeError("a batch is asked for before its phase was entered")
        where = self.source, progress.epoch, progress.position
        parts = self.recipe.training.accumulate * self.world.size
        photos = self.batches.photos_at(progress.position)
        own = range(self.world.rank, min(parts, photos), self.world.size)
        if own:
            return [self.batches.batch(*where, part, parts) for part in own]
        # A process that is left without a photo must still take part in the exchange, with nothing to say.
        return [replace(self.batches.batch(*where, 0, parts), image_share=0.0, word_share=0.0)]

    def rates(self, progress: Progress) -> list[float]:
        """Return the learning rates of the decoder's two groups, and of the encoder's."""
        phase = self._phase(progress)
        share = phase_share(phase, progress.phase_steps(self.epoch_steps), self.epoch_steps)
        return [share * phase.learning_rate] * 2 + [share * phase.encoder_learning_rate] * 2

    def loss(self, batch: list[Batch], progress: Progress) -> Iterator[Tensor]:
        """Yield the loss of each part; the processes exchange their gradients with the last one."""
        phase = self._phase(progress)
        done = progress.phase_steps(self.epoch_steps) / (phase.epochs * self.epoch_steps)
        for number, part in enumerate(batch, start=1):
            with self._exchange(last=number == len(batch)):  # while the gradient of the part is computed, too
                with autocast(self.recipe.training.precision, self.world.device):
                    loss: Tensor = self.parallel(part.to(self.world.device), phase, done)
                yield loss

    def _exchange(self, last: bool) -> AbstractContextManager[None]:
        """Return the context of a part: the last one of a step exchanges gradients with other processes."""
        if isinstance(self.parallel, DistributedDataParallel) and not last:
            return cast("AbstractContextManager[None]", self.parallel.no_sync())
        return nullcontext()

    def _kept(self) -> CaptionModel:
        """Return the model that is validated and kept: with averaged weights, if the recipe averages."""
        model = self.model if self.average is None else cast("CaptionModel", self.average.module)
        return model.eval()

    def validate(self, progress: Progress, board: Board | None) -> dict[str, float]:
        """Caption the validation photos, each process its part of them, and score the captions."""
        images = self.bench.val_images
        own = self.world.part(range(len(images)))
        predictor = CaptionPredictor(Checkpoint(self._kept(), self.bench.tokenizer))
        features = self._val_features(predictor, own, frozen=not self._phase(progress).encoder_stage)
        title = "validating" if self.world.leads else None
        found = best_captions(predictor, features, self.recipe.decoding, len(own), title)
        captions = self.world.merge(self.world.gather(found))
        if self.world.leads and not any(caption.text for caption in captions):
            warn(f"{all_empty(len(captions))}. This is normal for a first epoch only")
        scores = self.world.share(_scores(score(images, captions)) if self.world.leads else None)
        if board is not None:
            step = progress.steps(self.epoch_steps)
            photos = [read_image(image.path.read_bytes()) for image in images[:SHOWN]]
            board.epoch(step, scores)
            board.photos(step, photos, captions[:SHOWN])
        return scores

    def _val_features(self, predictor: CaptionPredictor, chosen: Sequence[int], frozen: bool) -> Iterator[Features]:
        """Return the features of validation photos in batches: what the encoder sees now, or saw when it was frozen."""
        cached = self.sources.val_features() if frozen else None
        for start in range(0, len(chosen), VALIDATION_BATCH):
            part = chosen[start : start + VALIDATION_BATCH]
            if cached is not None:
                yield cached.batch(part).to(self.world.device)
            else:
                paths = (self.bench.val_images[index].path for index in part)
                yield predictor.encode([read_image(path.read_bytes()) for path in paths])

    def quality(self, entry: Mapping[str, float]) -> tuple[float, ...]:
        """Return the scores that decide, and then the loss."""
        return *(entry[name] for name in COMPARED), -entry["loss"]

    def counts_patience(self, history: Sequence[Mapping[str, float]]) -> bool:
        """Tell whether words were found: the first may take long; patience is for what stops to get better."""
        deciding = "rouge_l" if self.cider_is_blind else "cider"
        return any(entry[deciding] > 0 for entry in history)

    def export(self, path: Path, found: Mapping[str, Any]) -> None:
        """Write the model that was validated, in half precision."""
        provenance = {**self.bench.provenance, **found}
        save_checkpoint(Checkpoint(self._kept(), self.bench.tokenizer, provenance), path, torch.float16)

    def pieces(self, batch: list[Batch]) -> tuple[int, str]:
        """Return how many captions a batch has."""
        return sum(len(part.tokens) for part in batch) * self.world.size, "captions"

    def describe(self, batch: list[Batch]) -> str:
        """Name the images."""
        return f"images {', '.join(str(image) for part in batch for image in part.image_ids)}"

    def told(self, progress: Progress) -> str:
        """Return the loss, and the scores as percentages."""
        entry = progress.history[-1]
        scores = (f"{PRINTED[name]} {100 * value:.2f}" for name, value in entry.items() if name in PRINTED)
        return ", ".join((f"loss {entry['loss']:.4f}", *scores))

    def overview(self) -> list[tuple[str, str]]:
        """Return what is learnt from, and with what."""
        epochs = " + ".join(map(str, self.epochs))
        return [
            *data_rows(self.bench.images, self.bench.val_images),
            vocabulary_row(self.bench.tokenizer),
            *model_rows(self.recipe, self.model),
            ("epochs", f"{epochs}, of {self.epoch_steps:,} batches"),
        ]

    def remarks(self, history: Sequence[Mapping[str, float]]) -> list[str]:
        """Return whether CIDEr can only be 0, or was."""
        if self.cider_is_blind:
            return [f"{ALWAYS_ZERO}. ROUGE-L decides which epoch is kept; validate on more photos"]
        if any(entry["cider"] > 0 for entry in history) or not history:
            return []
        return [
            "CIDEr was 0 in every epoch: the model has not learnt to caption. Give it more epochs "
            "(training.phases[0].epochs) or more photos; with very few photos a higher learning rate helps"
        ]


def _reward(recipe: Recipe, bench: Workbench) -> Reward | None:
    if not any(phase.self_critical for phase in recipe.training.phases):
        return None
    split = bench.tokenizer.split
    return Reward({image.image_id: [split(text) for text in image.captions] for image in bench.images})


def _scores(report: MetricReport) -> dict[str, float]:
    return {"cider": report.cider, "rouge_l": report.rouge_l} | {f"bleu_{n}": x for n, x in enumerate(report.bleu, 1)}
