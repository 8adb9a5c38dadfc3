"""The task of answers: a network on a frozen encoder learns to answer questions about photos."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from torch import Tensor

from captioner.answers.checkpoint import AnswerModel, save_answers
from captioner.answers.network import AnswerNetwork
from training.answers.batches import QuestionBatch, QuestionBatches, encode_questions
from training.answers.recipe import AnswerRecipe
from training.answers.scoring import NOTHING, best_answers, score_by_kind, told
from training.answers.setup import AnswerBench, photo_names, plain_features, rows_of, training_features
from training.runs.averaging import MovingAverage
from training.runs.distributed import World
from training.runs.optim import adamw, autocast, one_cycle
from training.runs.overview import parameters_row, vocabulary_row
from training.runs.state import Progress
from training.runs.task import Task
from training.runs.tensorboard import Board

ALONE = World()


class AnswerTask(Task[QuestionBatch]):
    """A network learns to answer; the best epoch is that of the highest score, as a mean over kinds of questions.

    The loss is the cross-entropy between the network's distribution and the answers of a question, each in proportion
    to how right it is, as a mean over questions.

    Args:
        recipe: What to do.
        bench: What to do it with.
        world: One process, and its device.
    """

    def __init__(self, recipe: AnswerRecipe, bench: AnswerBench, world: World = ALONE) -> None:
        self.recipe, self.bench, self.world = recipe, bench, world
        training, questions = recipe.training, recipe.questions
        self.network: AnswerNetwork = bench.network.to(world.device)
        self.average: MovingAverage = MovingAverage(self.network, training.average)
        self.modules = {"network": self.network, "average": self.average}
        model = bench.captioner.to(world.device)
        names = photo_names(bench.questions, questions.path("train_images"))
        val_names = photo_names(bench.val_questions, questions.path("val_images"))
        sees = recipe.network.sees
        self.source = training_features(recipe, model, names) if sees else None
        folder, cache = questions.path("val_images"), Path(recipe.cache).expanduser()
        self.val_features = (
            plain_features(model, folder, val_names, cache, "encoding validation photos") if sees else None
        )
        val_rows = rows_of(val_names)
        self.val_rows = [val_rows[one.photo] for one in bench.val_questions]
        tokenizer, answers = bench.description.tokenizer, bench.description.answers
        self.val_encoded = encode_questions(bench.val_questions, tokenizer, answers)
        self.batches = QuestionBatches(
            bench.questions,
            encode_questions(bench.questions, tokenizer, answers),
            rows_of(names),
            training.images_per_batch,
            recipe.seed,
            questions.mirror,
            (training.unknown_words, tokenizer.unk_id),
            training.cells,
        )
        self.epochs = (training.epochs,)
        self.epoch_steps = len(self.batches)
        self.optimizer = adamw([self.network], training.weight_decay)

    def batch(self, progress: Progress) -> QuestionBatch:
        """Return photos with their questions."""
        return self.batches.batch(self.source, progress.epoch, progress.position)

    def rates(self, progress: Progress) -> list[float]:
        """Return the same learning rate for all groups."""
        training, total = self.recipe.training, self.recipe.training.epochs * self.epoch_steps
        rate = training.learning_rate * one_cycle(progress.steps(self.epoch_steps), total, training.warmup)
        return [rate] * len(self.optimizer.param_groups)

    def loss(self, batch: QuestionBatch, progress: Progress) -> Iterator[Tensor]:  # noqa: ARG002
        """Yield the loss, the same at every position."""
        device = self.world.device
        features = NOTHING if batch.features is None else batch.features.to(device)
        with autocast(self.recipe.training.precision, device):
            logits, _ = self.network(
                batch.tokens.to(device), batch.lengths.to(device), features, batch.photos.to(device)
            )
        log_probs = logits.float().log_softmax(dim=1)
        yield -(batch.targets.to(device) * log_probs).sum() / len(batch.ids)

    def _kept(self) -> AnswerNetwork:
        return cast("AnswerNetwork", self.average.module).eval()

    def validate(self, progress: Progress, board: Board | None) -> dict[str, float]:  # noqa: ARG002
        """Answer the validation questions."""
        found = best_answers(self._kept(), self.val_encoded, self.val_features, self.val_rows)
        right = self.val_encoded.scores.gather(1, found[:, None]).squeeze(1)
        return score_by_kind(self.bench.val_questions, right)

    def quality(self, entry: Mapping[str, float]) -> tuple[float, ...]:
        """Return the mean score over kinds, and then the loss."""
        return entry["mean"], -entry["loss"]

    def export(self, path: Path, found: Mapping[str, Any]) -> None:
        """Write the averaged network."""
        description = self.bench.description
        provenance = {**description.provenance, **found}
        save_answers(AnswerModel(self._kept(), replace(description, provenance=provenance)), path)

    def pieces(self, batch: QuestionBatch) -> tuple[int, str]:
        """Return how many questions a batch has."""
        return len(batch.ids), "questions"

    def describe(self, batch: QuestionBatch) -> str:
        """Name the questions."""
        return f"questions {', '.join(map(str, batch.ids))}"

    def told(self, progress: Progress) -> str:
        """Return the loss and the scores."""
        entry = dict(progress.history[-1])
        return f"loss {entry.pop('loss'):.4f}, {told(entry)}"

    def overview(self) -> list[tuple[str, str]]:
        """Return what is learnt from, and with what."""
        bench, network = self.bench, self.recipe.network
        sight = f"{network.hops} looks at the photo" if network.sees else "the photo is not seen"
        return [
            ("questions", f"{len(bench.questions):,} to learn from, {len(bench.val_questions):,} to validate on"),
            ("answers", f"{len(bench.description.answers):,}"),
            vocabulary_row(bench.description.tokenizer),
            ("network", f"{network.cell}, {network.hidden_size} units, {sight}"),
            parameters_row(self.network),
            ("epochs", f"{self.recipe.training.epochs}, of {self.epoch_steps:,} batches"),
        ]
