"""The training of a captioning model."""

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from captioner.checkpoint import Checkpoint, save_checkpoint
from captioner.decoders import Decoder
from captioner.model import CaptionModel
from captioner.predictor import CaptionPredictor
from training.batches import Batch
from training.metrics import MetricReport
from training.objective import cross_entropy
from training.recipe import Recipe
from training.run import Run
from training.setup import Workbench
from training.validation import best_captions, score

VALIDATION_BATCH = 64


class Trainer(Run[Batch, CaptionModel]):
    """A run in which a decoder learns to caption; the best epoch is that of the best validation CIDEr.

    Args:
        recipe: What to do.
        bench: What to do it with.
    """

    def __init__(self, recipe: Recipe, bench: Workbench) -> None:
        self.recipe = recipe
        self.bench = bench
        self.decoder = bench.model.decoder
        average = recipe.training.average
        self.average = (
            AveragedModel(self.decoder, multi_avg_fn=get_ema_multi_avg_fn(average))  # type: ignore[no-untyped-call]
            if average
            else None
        )
        super().__init__(recipe.run_dir, recipe.training, self.decoder, len(bench.batches))

    @property
    def modules(self) -> dict[str, nn.Module]:
        """What the run state holds the weights of."""
        return {"decoder": self.decoder, **({"average": self.average} if self.average else {})}

    def _batch(self) -> Batch:
        return self.bench.batches.batch(self.progress.epoch, self.progress.position)

    def _describe(self, batch: Batch) -> str:
        return f"images {', '.join(map(str, batch.image_ids))}"

    def _step(self, batch: Batch) -> float:
        """Learn from one batch; return its loss."""
        value = super()._step(batch)
        if self.average:
            self.average.update_parameters(self.decoder)
        return value

    def _loss(self, batch: Batch) -> Tensor:
        with self._autocast():
            memory = self.decoder.prepare(batch.features)
            state = self.decoder.begin(memory, len(batch.tokens) // len(batch.features.vector))
            run = self.decoder.teacher_force(batch.tokens[:, :-1], memory, state)
        return cross_entropy(
            run.logits, batch.tokens[:, 1:], self.bench.tokenizer.pad_id, self.recipe.training.label_smoothing
        )

    def _kept_model(self) -> CaptionModel:
        """Return the model that is validated and kept: with averaged weights, if the recipe averages."""
        if self.average is None:
            return self.bench.model.eval()
        model = CaptionModel(self.bench.model.config, len(self.bench.tokenizer))
        model.encoder = self.bench.model.encoder
        model.decoder = cast("Decoder[Any, Any]", self.average.module)
        return model.eval()

    def _validate(self, model: CaptionModel) -> dict[str, float]:
        images, features = self.bench.val_images, self.bench.val_features
        starts = range(0, len(images), VALIDATION_BATCH)
        batches = (features.batch(range(start, min(start + VALIDATION_BATCH, len(images)))) for start in starts)
        predictor = CaptionPredictor(Checkpoint(model, self.bench.tokenizer))
        return _scores(
            score(images, best_captions(predictor, batches, self.recipe.decoding, len(images), "validating"))
        )

    def _quality(self, entry: dict[str, float]) -> float:
        return entry["cider"]

    def _write_best(self, model: CaptionModel, found: dict[str, Any]) -> None:
        provenance = {**self.bench.provenance, **found}
        save_checkpoint(Checkpoint(model, self.bench.tokenizer, provenance), self.best_file, torch.float16)


def _scores(report: MetricReport) -> dict[str, float]:
    return {"cider": report.cider, "rouge_l": report.rouge_l} | {f"bleu_{n}": x for n, x in enumerate(report.bleu, 1)}
