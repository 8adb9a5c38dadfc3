"""The training of a language model, by truncated back-propagation through time (Williams and Peng 1990)."""

from typing import Any, cast

import torch
from torch import Tensor, nn
from tqdm import tqdm

from captioner.cells import CellState
from captioner.files import write_whole
from captioner.stack import StackState
from training.language.likelihood import likelihood_scores
from training.language.model import LanguageModel, save_language_model
from training.language.recipe import LanguageRecipe
from training.language.sampling import write_samples
from training.language.setup import TextBench
from training.language.text import TextChunk
from training.losses import cross_entropy
from training.runs.distributed import World
from training.runs.optimizer import adamw
from training.runs.overview import parameters_row, vocabulary_row
from training.runs.run import Run
from training.runs.schedule import one_cycle

ALONE = World()


class CarriedState(nn.Module):
    """The state after the last chunk, in buffers, so that the run state keeps it like weights.

    Args:
        state: Of the streams before their first chunk.
    """

    def __init__(self, state: StackState) -> None:
        super().__init__()
        self._sizes = [len(layer) for layer in state.layers]
        for layer, vectors in enumerate(state.layers):
            for index, vector in enumerate(vectors):
                self.register_buffer(f"layer{layer}_{index}", vector.detach().clone())

    @property
    def state(self) -> StackState:
        """The state, cut off from the chunk that made it."""
        return StackState(tuple(self._layer(layer, size) for layer, size in enumerate(self._sizes)))

    def keep(self, state: StackState) -> None:
        """Keep the state after a chunk."""
        for layer, vectors in enumerate(state.detach().layers):
            for index, vector in enumerate(vectors):
                setattr(self, f"layer{layer}_{index}", vector)

    def _layer(self, layer: int, size: int) -> CellState:
        return tuple(cast("Tensor", getattr(self, f"layer{layer}_{index}")) for index in range(size))


class LanguageTrainer(Run[TextChunk, LanguageModel]):
    """A run in which a decoder learns to predict a text; the best epoch is that of the lowest validation loss.

    Besides the files of every run, its folder holds ``samples.txt``: what the model wrote after each epoch.

    Args:
        recipe: What to do.
        bench: What to do it with.
        world: One process, and its device.
    """

    piece = "token"

    def __init__(self, recipe: LanguageRecipe, bench: TextBench, world: World = ALONE) -> None:
        self.recipe = recipe
        self.bench = bench
        self.decoder = bench.decoder.to(world.device)
        self.memory = self.decoder.prepare_nothing(bench.streams.streams)
        self.carried = CarriedState(self.decoder.begin(self.memory))
        optimizer = adamw([self.decoder], recipe.training.weight_decay)
        super().__init__(recipe.run_dir, recipe.training, self.decoder, optimizer, len(bench.streams), world)

    @property
    def modules(self) -> dict[str, nn.Module]:
        """What the run state holds: the weights, and the state that the next chunk starts from."""
        return {"decoder": self.decoder, "carried": self.carried}

    @property
    def epochs(self) -> int:
        """How often the text is read at most."""
        return self.recipe.training.epochs

    def overview(self) -> list[tuple[str, str]]:
        """Return what the run learns from, with what and where."""
        config, bench = self.recipe.decoder, self.bench
        data = bench.provenance["data"]
        kind = bench.tokenizer.name
        return [
            ("text", f"{data['tokens']:,} {kind}s to learn from, {data['validation_tokens']:,} to validate on"),
            vocabulary_row(bench.tokenizer),
            ("decoder", f"{config.cell}, {config.layers} x {config.hidden_size} units"),
            parameters_row(self.decoder),
            ("epochs", f"{self.epochs}, of {self.epoch_steps:,} chunks"),
            *super().overview(),
        ]

    def _learning_rates(self) -> list[float]:
        training = self.recipe.training
        rate = training.learning_rate * one_cycle(self.steps_done, self.epochs * self.epoch_steps, training.warmup)
        return [rate] * len(self.optimizer.param_groups)

    def _batch(self) -> TextChunk:
        return self.bench.streams.chunk(self.progress.position).to(self.world.device)

    def _pieces(self, batch: TextChunk) -> int:
        return batch.targets.numel()

    def _describe(self, batch: TextChunk) -> str:
        return f"tokens {batch.start + 1} to {batch.start + batch.targets.shape[1]} of each stream"

    def _loss(self, batch: TextChunk) -> Tensor:
        state = self.carried.state if batch.start else self.decoder.begin(self.memory)
        with self._autocast():
            run = self.decoder.teacher_force(batch.inputs, self.memory, state)
        self.carried.keep(run.state)
        return cross_entropy(run.logits, batch.targets, self.bench.tokenizer.pad_id, label_smoothing=0.0)

    def _kept_model(self) -> LanguageModel:
        return LanguageModel(self.decoder.eval(), self.bench.tokenizer, self.bench.provenance)

    def _validate(self, model: LanguageModel) -> dict[str, float]:
        return likelihood_scores(model, self.bench.held_out)

    def _quality(self, entry: dict[str, float]) -> tuple[float, ...]:
        return (-entry["validation_loss"],)

    def _write_best(self, model: LanguageModel, found: dict[str, Any]) -> None:
        described = LanguageModel(model.decoder, model.tokenizer, {**model.provenance, **found})
        save_language_model(described, self.best_file, torch.float16)

    def _finish_epoch(self) -> None:
        written = "\n\n".join(write_samples(self._kept_model(), self.recipe.samples))
        self.progress.samples.append(written)
        super()._finish_epoch()
        tqdm.write(f"{written}\n")
        pages = (self._page(epoch) for epoch in range(self.progress.epoch))
        write_whole(self.folder / "samples.txt", "\n".join(pages))

    def _page(self, epoch: int) -> str:
        loss = self.progress.history[epoch]["validation_loss"]
        return f"=== epoch {epoch + 1}, validation loss {loss:.4f} ===\n{self.progress.samples[epoch]}\n"
