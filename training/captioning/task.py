"""The training of a captioning model."""

from collections.abc import Iterator, Sequence
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
from training.captioning.batches import Batch, CaptionBatches, PhotoSource
from training.captioning.objective import CaptionLoss
from training.captioning.rewards import Reward
from training.captioning.setup import Workbench
from training.evaluation.evaluate import all_empty, best_captions, score
from training.evaluation.metrics import ALWAYS_ZERO, MetricReport, cider_is_always_zero
from training.inputs.sources import Sources
from training.phase import PhaseRecipe
from training.recipe import Recipe
from training.runs.averaging import MovingAverage
from training.runs.distributed import World
from training.runs.optim import adamw, phase_share, uses_bfloat16
from training.runs.overview import data_rows, model_rows, vocabulary_row
from training.runs.run import Run
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


class Trainer(Run[list[Batch], CaptionModel]):
    """A run in which a model learns to caption; the best epoch is that of the best validation CIDEr.

    Equal ones, such as 0, are decided by ROUGE-L, then by BLEU-4, then by the loss. ``patience`` counts from the first
    epoch whose CIDEr is above 0 (ROUGE-L, if the validation photos let CIDEr be nothing but 0).

    Args:
        recipe: What to do.
        bench: What to do it with.
        world: The processes that train together; each learns from its part of every batch.
    """

    piece = "caption"

    def __init__(self, recipe: Recipe, bench: Workbench, world: World = ALONE) -> None:
        self.recipe = recipe
        self.bench = bench
        self.model = bench.model.to(world.device)
        self.model.encoder.to(memory_format=torch.channels_last)  # a third faster to learn on CPUs
        training = recipe.training
        self.average = MovingAverage(self.model, training.average) if training.average else None
        low_precision = uses_bfloat16(training.precision, world.device)
        cache = Path(recipe.cache).expanduser()
        self.sources = Sources(bench.images, bench.val_images, self.model, cache, low_precision)
        self.batches = CaptionBatches(
            bench.images,
            bench.tokenizer,
            size=training.images_per_batch,
            max_tokens=recipe.data.max_tokens,
            seed=recipe.seed,
        )
        self.loss = CaptionLoss(self.model, bench.tokenizer, _reward(recipe, bench), recipe.data.max_tokens)
        self.parallel: nn.Module = self.loss
        self.source: PhotoSource | None = None
        self._entered: int | None = None
        self._board: Board | None = None
        self.cider_is_blind = cider_is_always_zero(image.captions for image in bench.val_images)
        if training.compile:
            compile_parts(self.model, training.compile)
        optimizer = adamw([self.model.decoder, self.model.encoder], training.weight_decay)
        super().__init__(recipe.run_dir, training, self.model, optimizer, len(self.batches), world)

    @property
    def modules(self) -> dict[str, nn.Module]:
        """What the run state holds the weights of."""
        return {"model": self.model, **({"average": self.average} if self.average else {})}

    @property
    def phases(self) -> tuple[PhaseRecipe, ...]:
        """What is learnt, one after the other."""
        return self.recipe.training.phases

    @property
    def phase(self) -> PhaseRecipe:
        """The phase in work."""
        return self.phases[self.progress.phase]

    @property
    def epochs(self) -> int:
        """How many epochs the run has at most."""
        before = self.progress.epoch - self.progress.phase_epoch
        return before + sum(phase.epochs for phase in self.phases[self.progress.phase :])

    def run(self) -> bool:
        """Train, and show it in TensorBoard; see :meth:`training.runs.run.Run.run`."""
        if not self.world.leads:
            return super().run()
        self._board = Board(self.files.board, self.steps_done)
        try:
            return super().run()
        finally:
            self._board.close()

    def _note(self, loss: float, gradient_norm: float) -> None:
        if self._board is not None:
            rate = self._learning_rates()[0]
            numbers = {"loss": loss, "gradient norm": gradient_norm, "learning rate": rate}
            self._board.step(self.steps_done, numbers)

    def _over(self) -> bool:
        return self.progress.phase >= len(self.phases)

    def _prepare(self) -> None:
        """Choose what learns in the phase, and what its batches show of the photos, unless that is done."""
        if self._entered == self.progress.phase:
            return
        phase, data = self.phase, self.recipe.data
        for module in self.model.decoder.modules():
            if isinstance(module, nn.Dropout):
                module.p = self.model.config.decoder.dropout if phase.dropout is None else phase.dropout
        self.model.encoder.fine_tune(phase.encoder_stage or None, phase.freeze_norms)
        if phase.encoder_stage:
            self.source = self.sources.photos()
        else:
            self.source = self.sources.features(data.mirror, data.augmented, self.batches.mirrorable)
        if self.world.size > 1:  # anew, since other weights learn
            self.parallel = DistributedDataParallel(self.loss)
        self._entered = self.progress.phase

    def _step_of_phase(self) -> int:
        return self.progress.phase_epoch * self.epoch_steps + self.progress.position

    def _learning_rates(self) -> list[float]:
        phase = self.phase
        share = phase_share(phase, self._step_of_phase(), self.epoch_steps)
        return [share * phase.learning_rate] * 2 + [share * phase.encoder_learning_rate] * 2

    def _batch(self) -> list[Batch]:
        """Return the parts of the batch that this process learns from, one after the other."""
        if self.source is None:
            raise RuntimeError("a batch is asked for before its phase was entered")
        where = self.source, self.progress.epoch, self.progress.position
        parts = self.recipe.training.accumulate * self.world.size
        photos = self.batches.photos_at(self.progress.position)
        own = range(self.world.rank, min(parts, photos), self.world.size)
        if own:
            return [self.batches.batch(*where, part, parts) for part in own]
        # A process that is left without a photo must still take part in the exchange, with nothing to say.
        return [replace(self.batches.batch(*where, 0, parts), image_share=0.0, word_share=0.0)]

    def _pieces(self, batch: list[Batch]) -> int:
        return sum(len(part.tokens) for part in batch) * self.world.size

    def _describe(self, batch: list[Batch]) -> str:
        return f"images {', '.join(str(image) for part in batch for image in part.image_ids)}"

    def _step(self, batch: list[Batch]) -> float:
        """Learn from one batch; return its loss."""
        value = super()._step(batch)
        if self.average:
            self.average.update_parameters(self.model)
            _copy_buffers(self.model, self.average.module)
        return value

    def _backward(self, batch: list[Batch]) -> float:
        """Add up the gradients of the parts; the processes exchange them with the last one."""
        value = 0.0
        for index, part in enumerate(batch):
            with self._exchange(last=index == len(batch) - 1):
                loss = self._loss([part])
                (loss * self.world.size).backward()  # type: ignore[no-untyped-call]  # what they exchange are means
            value += float(loss.detach())
        return self.world.sums(value)[0]

    def _exchange(self, last: bool) -> AbstractContextManager[None]:
        """Return the context of a backward pass: the last one of a step exchanges gradients with other processes."""
        if isinstance(self.parallel, DistributedDataParallel) and not last:
            return cast("AbstractContextManager[None]", self.parallel.no_sync())
        return nullcontext()

    def _loss(self, batch: list[Batch]) -> Tensor:
        done = self._step_of_phase() / (self.phase.epochs * self.epoch_steps)
        [part] = batch
        with self._autocast():
            loss: Tensor = self.parallel(part.to(self.world.device), self.phase, done)
        return loss

    def _kept_model(self) -> CaptionModel:
        """Return the model that is validated and kept: with averaged weights, if the recipe averages."""
        model = self.model if self.average is None else cast("CaptionModel", self.average.module)
        return model.eval()

    def _validate(self, model: CaptionModel) -> dict[str, float]:
        """Caption the validation photos, each process its part of them, and score the captions."""
        images = self.bench.val_images
        own = self.world.part(range(len(images)))
        predictor = CaptionPredictor(Checkpoint(model, self.bench.tokenizer))
        title = "validating" if self.world.leads else None
        found = best_captions(predictor, self._val_features(predictor, own), self.recipe.decoding, len(own), title)
        captions = self.world.merge(self.world.gather(found))
        if self.world.leads and not any(caption.text for caption in captions):
            warn(f"{all_empty(len(captions))}. This is normal for a first epoch only")
        scores = self.world.share(_scores(score(images, captions)) if self.world.leads else None)
        if self._board is not None:
            photos = [read_image(image.path.read_bytes()) for image in images[:SHOWN]]
            self._board.epoch(self.steps_done, scores)
            self._board.photos(self.steps_done, photos, captions[:SHOWN])
        return scores

    def _val_features(self, predictor: CaptionPredictor, chosen: Sequence[int]) -> Iterator[Features]:
        """Return the features of validation photos in batches: what the encoder sees now, or saw when it was frozen."""
        cached = None if self.phase.encoder_stage else self.sources.val_features()
        for start in range(0, len(chosen), VALIDATION_BATCH):
            part = chosen[start : start + VALIDATION_BATCH]
            if cached is not None:
                yield cached.batch(part).to(self.world.device)
            else:
                paths = (self.bench.val_images[index].path for index in part)
                yield predictor.encode([read_image(path.read_bytes()) for path in paths])

    def _quality(self, entry: dict[str, float]) -> tuple[float, ...]:
        return *(entry[name] for name in COMPARED), -entry["loss"]

    def _told(self, entry: dict[str, float]) -> str:
        scores = (f"{PRINTED[name]} {100 * value:.2f}" for name, value in entry.items() if name in PRINTED)
        return ", ".join((f"loss {entry['loss']:.4f}", *scores))

    def overview(self) -> list[tuple[str, str]]:
        """Return what the run learns from, with what and where."""
        epochs = " + ".join(str(phase.epochs) for phase in self.phases)
        return [
            *data_rows(self.bench.images, self.bench.val_images),
            vocabulary_row(self.bench.tokenizer),
            *model_rows(self.recipe, self.model),
            ("epochs", f"{epochs}, of {self.epoch_steps:,} batches"),
            *super().overview(),
        ]

    def remarks(self) -> list[str]:
        """Return whether CIDEr can only be 0, or was."""
        if self.cider_is_blind:
            return [f"{ALWAYS_ZERO}. ROUGE-L decides which epoch is kept; validate on more photos"]
        if any(entry["cider"] > 0 for entry in self.progress.history) or not self.progress.history:
            return []
        return [
            "CIDEr was 0 in every epoch: the model has not learnt to caption. Give it more epochs "
            "(training.phases[0].epochs) or more photos; with very few photos a higher learning rate helps"
        ]

    def _write_best(self, model: CaptionModel, found: dict[str, Any]) -> None:
        provenance = {**self.bench.provenance, **found}
        save_checkpoint(Checkpoint(model, self.bench.tokenizer, provenance), self.best_file, torch.float16)

    def _after_epoch(self) -> None:
        self.progress.phase_epoch += 1
        if self.progress.phase_epoch >= self.phase.epochs or self._stale() >= self.training.patience:
            self._end_phase()

    def _stale(self) -> int:
        """Return for how many epochs the phase has brought nothing better than its own best."""
        deciding = "rouge_l" if self.cider_is_blind else "cider"
        if not any(entry[deciding] > 0 for entry in self.progress.history):
            return 0  # the first words may take long; patience is for what stops to get better
        values = [self._quality(entry) for entry in self.progress.history[-self.progress.phase_epoch :]]
        return len(values) - 1 - values.index(max(values))

    def _end_phase(self) -> None:
        """Let the next phase start from the averaged weights, with fresh moments."""
        if self.average is not None:
            self.model.load_state_dict(self.average.module.state_dict())
            self.average.begin()
        self.optimizer.state.clear()
        self.progress.phase += 1
        self.progress.phase_epoch = 0


def _copy_buffers(source: nn.Module, target: nn.Module) -> None:
    """Copy batch norms' statistics, which follow the batches where they are not frozen."""
    for ours, theirs in zip(source.buffers(), target.buffers(), strict=True):
        theirs.copy_(ours)


def _reward(recipe: Recipe, bench: Workbench) -> Reward | None:
    if not any(phase.self_critical for phase in recipe.training.phases):
        return None
    split = bench.tokenizer.split
    return Reward({image.image_id: [split(text) for text in image.captions] for image in bench.images})


def _scores(report: MetricReport) -> dict[str, float]:
    return {"cider": report.cider, "rouge_l": report.rouge_l} | {f"bleu_{n}": x for n, x in enumerate(report.bleu, 1)}
