"""The training loop: learn, validate, keep the best; stop anywhere and resume to the same result."""

import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from captioner.checkpoint import Checkpoint, save_checkpoint
from captioner.decoders import Decoder
from captioner.model import CaptionModel
from captioner.predictor import CaptionPredictor
from training.batches import Batch
from training.errors import TrainingError
from training.metrics import MetricReport
from training.objective import cross_entropy
from training.recipe import Recipe, TrainingRecipe
from training.run_state import Progress, load_run_state, save_run_state
from training.schedule import one_cycle
from training.setup import Workbench
from training.validation import best_captions, score

VALIDATION_BATCH = 64


class Trainer:
    """One training run in its folder.

    The folder holds ``recipe.json``, ``run_state.safetensors`` (to resume from), ``history.json`` (one entry per epoch)
    and ``best.safetensors`` (the checkpoint of the epoch with the best validation CIDEr).

    Args:
        recipe: What to do.
        bench: What to do it with.
    """

    def __init__(self, recipe: Recipe, bench: Workbench) -> None:
        self.recipe = recipe
        self.bench = bench
        self.folder = recipe.run_dir
        self.state_file = self.folder / "run_state.safetensors"
        self.best_file = self.folder / "best.safetensors"
        self.decoder = bench.model.decoder
        training = recipe.training
        self.average = (
            AveragedModel(self.decoder, multi_avg_fn=get_ema_multi_avg_fn(training.average))  # type: ignore[no-untyped-call]
            if training.average
            else None
        )
        self.optimizer = torch.optim.AdamW(
            _parameter_groups(self.decoder, training), lr=training.learning_rate, fused=True
        )
        self.progress = Progress()
        self.total_steps = training.epochs * len(bench.batches)
        self.low_precision = training.precision == "bfloat16" or (training.precision == "auto" and _fast_bfloat16())

    @property
    def modules(self) -> dict[str, nn.Module]:
        """What the run state holds the weights of."""
        return {"decoder": self.decoder, **({"average": self.average} if self.average else {})}

    def resume(self) -> None:
        """Go on from the run's last saved state.

        Raises:
            TrainingError: If there is none, or it does not fit the recipe.
        """
        self.progress = load_run_state(self.state_file, self.modules, self.optimizer)

    def run(self) -> bool:
        """Train until the last epoch, until validation stops improving, or until stopped by SIGINT or SIGTERM.

        Returns:
            Whether the run is finished; if not, it can be resumed.

        Raises:
            TrainingError: If the loss is not a number.
        """
        with stop_signals() as stop:
            while not self._over():
                if not self._learn(stop):
                    self.save()
                    return False
                self._finish_epoch()
        return True

    def save(self) -> None:
        """Write the run state."""
        save_run_state(self.state_file, self.modules, self.optimizer, self.progress)

    def _over(self) -> bool:
        progress, training = self.progress, self.recipe.training
        stale = progress.epoch - 1 - (progress.epoch if progress.best_epoch is None else progress.best_epoch)
        return progress.epoch >= training.epochs or stale >= training.patience

    def _learn(self, stop: threading.Event) -> bool:
        """Go through the rest of the epoch; return False if stopped before its end."""
        progress, batches = self.progress, self.bench.batches
        self.decoder.train()
        saved = time.monotonic()
        title = f"epoch {progress.epoch + 1}/{self.recipe.training.epochs}"
        with tqdm(total=len(batches), initial=progress.position, desc=title, unit="batch") as bar:
            while progress.position < len(batches):
                if stop.is_set():
                    return False
                progress.loss_sum += self._step(batches.batch(progress.epoch, progress.position))
                progress.position += 1
                bar.update()
                bar.set_postfix(loss=f"{progress.loss_sum / progress.position:.3f}")
                if time.monotonic() - saved > 60 * self.recipe.training.save_minutes:
                    self.save()
                    saved = time.monotonic()
        return True

    def _step(self, batch: Batch) -> float:
        """Learn from one batch; return its loss."""
        training = self.recipe.training
        step = self.progress.epoch * len(self.bench.batches) + self.progress.position
        for group in self.optimizer.param_groups:
            group["lr"] = training.learning_rate * one_cycle(step, self.total_steps, training.warmup)
        loss = self._loss(batch)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise TrainingError(
                f"the loss became {value} in epoch {self.progress.epoch + 1}, batch {self.progress.position + 1} "
                f"(images {', '.join(map(str, batch.image_ids))}); try a lower learning rate. "
                "The last saved state is intact."
            )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.decoder.parameters(), training.clip_norm)
        self.optimizer.step()
        if self.average:
            self.average.update_parameters(self.decoder)
        return value

    def _loss(self, batch: Batch) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=self.low_precision):
            memory = self.decoder.prepare(batch.features)
            logits, _ = self.decoder.teacher_force(batch.tokens[:, :-1], memory)
        return cross_entropy(
            logits, batch.tokens[:, 1:], self.bench.tokenizer.pad_id, self.recipe.training.label_smoothing
        )

    def _finish_epoch(self) -> None:
        progress = self.progress
        model = self._kept_model()
        scores = _scores(self._validate(model))
        entry = {"loss": progress.loss_sum / progress.position, **scores}
        tqdm.write(f"epoch {progress.epoch + 1}: " + ", ".join(f"{key} {value:.4f}" for key, value in entry.items()))
        progress.history.append(entry)
        progress.position, progress.loss_sum = 0, 0.0
        if progress.best_epoch == progress.epoch - 1:
            provenance = {**self.bench.provenance, "epoch": progress.epoch, "validation": scores}
            save_checkpoint(Checkpoint(model, self.bench.tokenizer, provenance), self.best_file, torch.float16)
        self.save()
        (self.folder / "history.json").write_text(json.dumps(progress.history, indent=1) + "\n")

    def _kept_model(self) -> CaptionModel:
        """Return the model that is validated and kept: with averaged weights, if the recipe averages."""
        if self.average is None:
            return self.bench.model.eval()
        model = CaptionModel(self.bench.model.config, len(self.bench.tokenizer))
        model.encoder = self.bench.model.encoder
        model.decoder = cast("Decoder[Any, Any]", self.average.module)
        return model.eval()

    def _validate(self, model: CaptionModel) -> MetricReport:
        images, features = self.bench.val_images, self.bench.val_features
        starts = range(0, len(images), VALIDATION_BATCH)
        batches = (features.batch(range(start, min(start + VALIDATION_BATCH, len(images)))) for start in starts)
        predictor = CaptionPredictor(Checkpoint(model, self.bench.tokenizer))
        return score(images, best_captions(predictor, batches, self.recipe.decoding, len(images), "validating"))


def _parameter_groups(module: nn.Module, training: TrainingRecipe) -> list[dict[str, object]]:
    """Weight decay is for matrices; biases are left alone."""
    matrices = [parameter for parameter in module.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in module.parameters() if parameter.ndim <= 1]
    return [
        {"params": matrices, "weight_decay": training.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]


def _scores(report: MetricReport) -> dict[str, float]:
    return {"cider": report.cider, "rouge_l": report.rouge_l} | {f"bleu_{n}": x for n, x in enumerate(report.bleu, 1)}


def _fast_bfloat16() -> bool:
    """Tell whether this CPU multiplies bfloat16 matrices in hardware."""
    capabilities: Callable[[], dict[str, Any]] = getattr(torch.cpu, "get_capabilities", dict)  # absent in older torch
    return bool(capabilities().get("amx_bf16"))


@contextmanager
def stop_signals() -> Iterator[threading.Event]:
    """Turn SIGINT and SIGTERM into an event that the loop looks at between two steps; a second one acts as usual."""
    stop = threading.Event()
    old: dict[int, Any] = {}

    def request(number: int, _: object) -> None:
        stop.set()
        signal.signal(number, old[number])

    for stopping in (signal.SIGINT, signal.SIGTERM):
        old[stopping] = signal.signal(stopping, request)
    try:
        yield stop
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
