"""The training of a language model, by truncated back-propagation through time (Williams and Peng 1990)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from tqdm import tqdm

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
from training.runs.optim import adamw, one_cycle
from training.runs.overview import parameters_row, vocabulary_row
from training.runs.provenance import commit
from training.runs.run import Run


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
