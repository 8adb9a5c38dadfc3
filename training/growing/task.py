"""The task of growing: a decoder learns corrections, and stays near what it was on old photos."""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from captioner.checkpoint import Checkpoint, save_checkpoint
from captioner.decoders import Decoder
from captioner.decoding import DecodingOptions
from captioner.predictor import CaptionPredictor
from captioner.types import DecoderRun, Features
from training.captioning.batches import Batch, CaptionBatches
from training.captioning.teacher_forcing import force_captions
from training.data import CaptionedImage
from training.evaluation.evaluate import best_captions
from training.growing.losses import distance, kept_words
from training.growing.recipe import GrowRecipe
from training.growing.setup import GrowBench
from training.initial.language_model import BY_PIECE
from training.inputs.features import CachedFeatures
from training.inputs.sources import PhotoSource, Sources
from training.losses import cross_entropy
from training.runs.distributed import World
from training.runs.optim import autocast, one_cycle
from training.runs.overview import vocabulary_row
from training.runs.state import Progress
from training.runs.task import Task
from training.runs.tensorboard import Board

ENCODED = 32
ALONE = World()
SHARES = (0.25, 0.375, 0.5, 0.75)  # of the way from the old weights to the learnt ones, beside all of it
OPTIONS = DecodingOptions(beam_size=5, max_length=20)  # of the old model's own captions, and of a look at the new one's


@dataclass(frozen=True)
class Shown:
    """Photos with captions, and what batches show of them."""

    batches: CaptionBatches
    source: PhotoSource

    def batch(self, step: int) -> Batch:
        """Return the batch of a step of the run, in an order that is another one each time round."""
        return self.batches.batch(self.source, *divmod(step, len(self.batches)))


@dataclass(frozen=True)
class Repeated:
    """A few photos, listed several times in a row, so that a batch has more versions of each."""

    source: PhotoSource
    photos: int

    def read(self, chosen: Tensor, mirror: Tensor, seeds: Tensor) -> tuple[Features | None, Tensor | None]:
        """Return features of photos; see :class:`PhotoSource`."""
        return self.source.read(chosen % self.photos, mirror, seeds)


def _of_new_words(known: int, gradient: Tensor) -> Tensor:
    """Return a gradient without that of the first rows."""
    kept = gradient.clone()
    kept[:known] = 0
    return kept


class GrowTask(Task[tuple[Batch, Batch | None]]):
    """A decoder learns corrections; the best epoch is that whose captions have most of the corrections' words.

    The loss is the cross-entropy of the corrections. Old photos add the divergence from the old model's words, along
    the caption that it gives them itself and along people's (:func:`training.growing.losses.kept_words`); without old
    photos, the distance from the old weights is added. The encoder stays as it is, so that what else sees by it fits.

    Args:
        recipe: What to do.
        bench: What to do it with.
        world: One process, and its device.
    """

    def __init__(self, recipe: GrowRecipe, bench: GrowBench, world: World = ALONE) -> None:
        self.recipe, self.bench, self.world = recipe, bench, world
        self.model = bench.model.to(world.device).eval()
        self.before: Decoder[Any, Any] = bench.old.model.to(world.device).decoder.requires_grad_(False).eval()
        self.network = self.model.decoder
        for module in self.network.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0  # there is too little to learn for chance to take part in it
        self.kept = deepcopy(self.model)
        self.modules = {"decoder": self.network}
        self.epochs, self.epoch_steps = (recipe.training.epochs,), recipe.training.epoch_steps
        self.start = {name: value.detach().clone() for name, value in self.before.named_parameters()}
        self.optimizer = self._optimizer()
        self.corrected: Shown | None = None
        self.remembered: Shown | None = None
        self.upright: CachedFeatures | None = None

    def _optimizer(self) -> torch.optim.AdamW:
        """Return what makes the decoder learn: what new words have of their own, then all but the words.

        What old words have of their own stays as it is. They are far more than the corrections tell of, and Adam would
        move each as far as those that matter.
        """
        known = len(self.bench.old.tokenizer)
        named = list(self.network.named_parameters())
        words = [value for name, value in named if name.endswith(BY_PIECE)]
        others = [value for name, value in named if not name.endswith(BY_PIECE)]
        for value in words:
            value.register_hook(partial(_of_new_words, known))  # type: ignore[no-untyped-call]
        decay = self.recipe.training.weight_decay
        return torch.optim.AdamW(
            [{"params": words, "weight_decay": 0.0}, {"params": others, "weight_decay": decay}], lr=0.0
        )

    def enter(self, progress: Progress) -> None:  # noqa: ARG002
        """Encode the photos, and let the old model caption the old ones, unless that is done."""
        if self.corrected is not None:
            return
        bench, training = self.bench, self.recipe.training
        photos = len(bench.corrections)
        several = bench.corrections * ceil(training.images_per_batch / photos)
        batches = self._batches(several, training.images_per_batch)
        source = self._sources(bench.corrections).features(True, training.augmented, batches.mirrorable[:photos])
        self.upright, self.corrected = source.upright, Shown(batches, Repeated(source, photos))
        if bench.remembered:
            plain = self._sources(bench.remembered).features(False, 0, torch.zeros(0))
            own = self._captions(Checkpoint(bench.old.model, bench.old.tokenizer), plain.upright, len(bench.remembered))
            both = [
                replace(image, captions=(text, *image.captions) if text else image.captions)
                for image, text in zip(bench.remembered, own, strict=True)
            ]
            self.remembered = Shown(self._batches(both, 2 * training.images_per_batch), plain)

    def _sources(self, images: Sequence[CaptionedImage]) -> Sources:
        return Sources(images, (), self.model, Path(self.recipe.cache).expanduser())

    def _batches(self, images: Sequence[CaptionedImage], size: int) -> CaptionBatches:
        recipe = self.recipe
        return CaptionBatches(images, self.bench.tokenizer, size=size, max_tokens=recipe.max_tokens, seed=recipe.seed)

    def _captions(self, checkpoint: Checkpoint, features: CachedFeatures, count: int) -> list[str]:
        """Return the best caption of each photo."""
        groups = (range(start, min(start + ENCODED, count)) for start in range(0, count, ENCODED))
        batches = (features.batch(group).to(self.world.device) for group in groups)
        found = best_captions(CaptionPredictor(checkpoint), batches, OPTIONS, count, "captioning")
        return [caption.text for caption in found]

    def batch(self, progress: Progress) -> tuple[Batch, Batch | None]:
        """Return corrected photos, and old ones."""
        if self.corrected is None:
            raise RuntimeError("a batch is asked for before its phase was entered")
        step = progress.steps(self.epoch_steps)
        return self.corrected.batch(step), None if self.remembered is None else self.remembered.batch(step)

    def rates(self, progress: Progress) -> list[float]:
        """Return the learning rates of words' own rows and of the rest."""
        training = self.recipe.training
        share = one_cycle(progress.steps(self.epoch_steps), training.epochs * self.epoch_steps, 0.1)
        return [share * training.word_rate, share * training.learning_rate]

    def loss(self, batch: tuple[Batch, Batch | None], progress: Progress) -> Iterator[Tensor]:  # noqa: ARG002
        """Yield what the corrections teach, and what keeps the old."""
        corrected, old = batch
        pad, training = self.bench.tokenizer.pad_id, self.recipe.training
        targets, run = self._read(self.network, corrected, corrected.tokens)
        yield cross_entropy(run.logits, targets, pad, 0.0)
        if old is None:
            yield training.near * distance(self.network, self.start)
            return
        known, unknown = len(self.bench.old.tokenizer), self.bench.tokenizer.unk_id
        heard = old.tokens.masked_fill(old.tokens >= known, unknown)  # what the old model makes of new words
        with torch.no_grad():
            _, before = self._read(self.before, old, heard)
        targets, run = self._read(self.network, old, old.tokens)
        yield training.keep * kept_words(run.logits, before.logits, targets, pad)

    def _read(self, decoder: Decoder[Any, Any], batch: Batch, tokens: Tensor) -> tuple[Tensor, DecoderRun[Any]]:
        """Let a decoder read captions; return the next words and what it scored."""
        if batch.features is None:
            raise RuntimeError("the encoder is frozen; its features are known")
        device = self.world.device
        tokens = tokens.to(device)
        targets = tokens[:, 1:]
        lengths = (targets != self.bench.tokenizer.pad_id).sum(dim=1).view(len(batch.image_ids), -1)
        with autocast(self.recipe.training.precision, device):
            memory = decoder.prepare(batch.features.to(device))
            return targets, force_captions(decoder, tokens[:, :-1], lengths, memory)

    def validate(self, progress: Progress, board: Board | None) -> dict[str, float]:  # noqa: ARG002
        """Go as little of the way from the old weights to the learnt ones as the corrections need, and one share more.

        Half of the way often says what all of it says, and has forgotten far less (Wortsman et al. 2022).

        Returns:
            The mean share of a correction's words that its photo's caption has, the share of captions with the new
            words that they should have, and the share of the way.
        """
        self._keep(1.0)
        full = self._said()
        enough = next((n for n, share in enumerate(SHARES) if self._keep(share) and self._said() >= full), len(SHARES))
        share = (*SHARES, 1.0, 1.0)[enough + 1]
        self._keep(share)
        new_words, words = self._said()
        return {"words": words, "new_words": new_words, "share": share}

    def _keep(self, share: float) -> bool:
        """Let the model that is kept be at a share of the way; new words are wholly as they were learnt."""
        learnt = self.network.state_dict()
        for name, value in self.kept.decoder.state_dict().items():
            before = self.start[name]
            value.copy_(learnt[name])
            value[: len(before)].lerp_(before, 1 - share)
        return True

    def _said(self) -> tuple[float, float]:
        """Return for the corrections the share of captions with the new words, and the mean share of all words."""
        if self.upright is None:
            raise RuntimeError("an epoch is validated before its phase was entered")
        images, split = self.bench.corrections, self.bench.tokenizer.split
        found = self._captions(Checkpoint(self.kept, self.bench.tokenizer), self.upright, len(images))
        new, shares, said = set(self.bench.new_words), [], []
        for image, caption in zip(images, (set(split(text)) for text in found), strict=True):
            words = [set(split(text)) for text in image.captions]
            shares.append(max(len(each & caption) / max(len(each), 1) for each in words))
            wanted = set().union(*words) & new
            said += [bool(wanted & caption)] if wanted else []
        return sum(said) / len(said) if said else 1.0, sum(shares) / len(shares)

    def quality(self, entry: Mapping[str, float]) -> tuple[float, ...]:
        """Return the shares, and then the loss."""
        return entry["new_words"], entry["words"], -entry["loss"]

    def export(self, path: Path, found: Mapping[str, Any]) -> None:  # noqa: ARG002
        """Write the model in full precision, to be finished."""
        provenance, calibration = self.bench.provenance, self.bench.old.calibration
        save_checkpoint(Checkpoint(self.kept, self.bench.tokenizer, provenance, calibration), path)

    def pieces(self, batch: tuple[Batch, Batch | None]) -> tuple[int, str]:
        """Return how many captions a batch has."""
        return sum(len(part.tokens) for part in batch if part is not None), "captions"

    def describe(self, batch: tuple[Batch, Batch | None]) -> str:
        """Name the images."""
        return f"images {', '.join(str(image) for part in batch if part is not None for image in part.image_ids)}"

    def told(self, progress: Progress) -> str:
        """Return how far the corrections are learnt."""
        entry = progress.history[-1]
        return (
            f"loss {entry['loss']:.4f}; of the corrected photos' captions {entry['new_words']:.0%} have their new "
            f"words, and {entry['words']:.0%} of all words of the corrections, "
            f"at {entry['share']:.0%} of the way"
        )

    def overview(self) -> list[tuple[str, str]]:
        """Return what is learnt from, and with what."""
        bench, training = self.bench, self.recipe.training
        count, words = sum(len(image.captions) for image in bench.corrections), bench.new_words
        old = f"{len(bench.remembered):,} photos are shown again" if bench.remembered else "not given: weights are held"
        return [
            ("corrections", f"{count:,} of {len(bench.corrections):,} photos"),
            ("new words", ", ".join(words[:20]) + (" ..." if len(words) > 20 else "") if words else "none"),
            ("old captions", old),
            vocabulary_row(bench.tokenizer),
            ("epochs", f"{training.epochs}, of {self.epoch_steps:,} batches"),
        ]
