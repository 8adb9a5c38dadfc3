"""The task of a language model, by truncated back-propagation through time (Williams and Peng 1990)."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from captioner.cells import CellState
from captioner.config import to_dict
from captioner.files import write_whole
from captioner.stack import StackState
from captioner.tokenizers import Tokenizer
from training.language.model import LanguageDecoder, LanguageModel, save_language_model
from training.language.recipe import LanguageRecipe
from training.language.sampling import write_samples
from training.language.text import Text, TextChunk, TextStreams, load_text
from training.losses import cross_entropy
from training.runs.distributed import World
from training.runs.optim import adamw, autocast, one_cycle
from training.runs.overview import parameters_row, vocabulary_row
from training.runs.provenance import commit
from training.runs.state import Progress
from training.runs.task import Task
from training.runs.tensorboard import Board


@dataclass(frozen=True)
class TextBench:
    """What a run works with.

    Attributes:
        decoder: The network, fresh.
        tokenizer: Made from the text.
        streams: What to learn from.
        held_out: ``[T]``, the tokens to validate on.
        provenance: Where the model comes from, as far as it is known before training.
    """

    decoder: LanguageDecoder
    tokenizer: Tokenizer
    streams: TextStreams
    held_out: Tensor
    provenance: Mapping[str, Any]


def set_up_text(recipe: LanguageRecipe) -> TextBench:
    """Read the text and build the decoder.

    Raises:
        ConfigError: If the decoder cannot be built.
        DataError: If the text cannot be used.
    """
    text = load_text(recipe.text, recipe.tokenizer)
    training = recipe.training
    torch.manual_seed(recipe.seed)
    decoder = LanguageDecoder(recipe.decoder, len(text.tokenizer))
    streams = TextStreams(text.learnt, text.tokenizer.bos_id, training.streams, training.chunk)
    return TextBench(decoder, text.tokenizer, streams, text.held_out, _provenance(recipe, text))


def _provenance(recipe: LanguageRecipe, text: Text) -> dict[str, Any]:
    public = {key: value for key, value in to_dict(recipe).items() if key != "runs"}
    public["text"] = {"validation_share": recipe.text.validation_share}
    return {
        "name": recipe.name,
        "version": recipe.version,
        "recipe": public,
        "data": {
            "text_sha256": text.sha256,
            "tokens": len(text.learnt),
            "validation_tokens": len(text.held_out),
            "unknown_validation_tokens": int((text.held_out == text.tokenizer.unk_id).sum()),
        },
        "commit": commit(),
    }


CHUNK = 500  # tokens read at once; it bounds memory and does not change the result


@torch.inference_mode()
def text_loss(model: LanguageModel, tokens: Tensor) -> float:
    """Return the mean of ``-log p(token | all tokens before)`` in nats, from ``<START>`` to the end of the text.

    Args:
        model: The language model.
        tokens: ``[T]``, the text.
    """
    decoder, tokenizer = model.decoder, model.tokenizer
    text = TextStreams(tokens, tokenizer.bos_id, streams=1, chunk=CHUNK)
    memory = decoder.prepare_nothing(1)
    state, total = decoder.begin(memory), 0.0
    for position in range(len(text)):
        chunk = text.chunk(position).to(decoder.device)
        run = decoder.teacher_force(chunk.inputs, memory, state)
        loss = cross_entropy(run.logits, chunk.targets, tokenizer.pad_id, label_smoothing=0.0)
        state, total = run.state, total + float(loss) * chunk.targets.numel()
    return total / len(tokens)


def likelihood_scores(model: LanguageModel, tokens: Tensor) -> dict[str, float]:
    """Return the loss of a text in nats per token, and the same in the unit in which its kind of model is compared.

    That is bits per character of a model of characters, and perplexity of others.
    """
    loss = text_loss(model, tokens)
    if model.tokenizer.name == "character":
        return {"validation_loss": loss, "bits_per_character": loss / math.log(2)}
    return {"validation_loss": loss, "perplexity": math.exp(min(loss, 700.0))}  # above that a float overflows


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


class LanguageTask(Task[TextChunk]):
    """A decoder learns to predict a text; the best epoch is that of the lowest validation loss.

    Besides the files of every run, its folder holds ``samples.txt``: what the model wrote after each epoch.

    Args:
        recipe: What to do.
        bench: What to do it with.
        world: One process, and its device.
    """

    def __init__(self, recipe: LanguageRecipe, bench: TextBench, world: World = ALONE) -> None:
        self.recipe = recipe
        self.bench = bench
        self.world = world
        self.network = self.decoder = bench.decoder.to(world.device)
        self.memory = self.decoder.prepare_nothing(bench.streams.streams)
        self.carried = CarriedState(self.decoder.begin(self.memory))  # which the next chunk starts from
        self.modules = {"decoder": self.decoder, "carried": self.carried}
        self.epochs = (recipe.training.epochs,)
        self.epoch_steps = len(bench.streams)
        self.optimizer = adamw([self.decoder], recipe.training.weight_decay)

    def batch(self, progress: Progress) -> TextChunk:
        """Return the next chunk of every stream."""
        return self.bench.streams.chunk(progress.position).to(self.world.device)

    def rates(self, progress: Progress) -> list[float]:
        """Return the same learning rate for all groups."""
        training, total = self.recipe.training, self.recipe.training.epochs * self.epoch_steps
        rate = training.learning_rate * one_cycle(progress.steps(self.epoch_steps), total, training.warmup)
        return [rate] * len(self.optimizer.param_groups)

    def loss(self, batch: TextChunk, progress: Progress) -> Iterator[Tensor]:  # noqa: ARG002
        """Yield the loss of a chunk that goes on where the one before it ended, and keep its own end."""
        state = self.carried.state if batch.start else self.decoder.begin(self.memory)
        with autocast(self.recipe.training.precision, self.world.device):
            run = self.decoder.teacher_force(batch.inputs, self.memory, state)
        self.carried.keep(run.state)
        yield cross_entropy(run.logits, batch.targets, self.bench.tokenizer.pad_id, label_smoothing=0.0)

    def _kept(self, found: Mapping[str, Any]) -> LanguageModel:
        return LanguageModel(self.decoder.eval(), self.bench.tokenizer, {**self.bench.provenance, **found})

    def validate(self, progress: Progress, board: Board | None) -> dict[str, float]:  # noqa: ARG002
        """Let the model write, and measure how likely it finds the held-out text."""
        model = self._kept({})
        progress.samples.append("\n\n".join(write_samples(model, self.recipe.samples)))
        scores = likelihood_scores(model, self.bench.held_out)
        pages = map(_page, range(1, progress.epoch + 2), [*progress.history, scores], progress.samples)
        write_whole(self.recipe.run_dir / "samples.txt", "\n".join(pages))
        return scores

    def quality(self, entry: Mapping[str, float]) -> tuple[float, ...]:
        """Return the validation loss, turned."""
        return (-entry["validation_loss"],)

    def export(self, path: Path, found: Mapping[str, Any]) -> None:
        """Write the model in half precision."""
        save_language_model(self._kept(found), path, torch.float16)

    def pieces(self, batch: TextChunk) -> tuple[int, str]:
        """Return how many tokens a chunk predicts."""
        return batch.targets.numel(), "tokens"

    def describe(self, batch: TextChunk) -> str:
        """Say where in the text a chunk is."""
        return f"tokens {batch.start + 1} to {batch.start + batch.targets.shape[1]} of each stream"

    def told(self, progress: Progress) -> str:
        """Return the scores, and what the model wrote."""
        entry = progress.history[-1]
        scores = ", ".join(f"{key.replace('_', ' ')} {value:.4f}" for key, value in entry.items())
        return f"{scores}\n{progress.samples[-1]}\n"

    def overview(self) -> list[tuple[str, str]]:
        """Return what is learnt from, and with what."""
        config, bench = self.recipe.decoder, self.bench
        data = bench.provenance["data"]
        kind = bench.tokenizer.name
        return [
            ("text", f"{data['tokens']:,} {kind}s to learn from, {data['validation_tokens']:,} to validate on"),
            vocabulary_row(bench.tokenizer),
            ("decoder", f"{config.cell}, {config.layers} x {config.hidden_size} units"),
            parameters_row(self.decoder),
            ("epochs", f"{self.recipe.training.epochs}, of {self.epoch_steps:,} chunks"),
        ]


def _page(number: int, entry: Mapping[str, float], samples: str) -> str:
    """Return what an epoch's model wrote, under a title."""
    return f"=== epoch {number}, validation loss {entry['validation_loss']:.4f} ===\n{samples}\n"
