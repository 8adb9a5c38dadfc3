"""The order in which a run sees photos and captions: a pure function of seed, epoch and position."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from captioner.tokenizers import Tokenizer
from captioner.types import Features
from training.data import CaptionedImage
from training.inputs.sources import PhotoSource

SIDED = re.compile(r"\b(?:left|right)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Batch:
    """B photos with C captions each; R = B * C rows, grouped by photo.

    Attributes:
        image_ids: The B ids.
        features: Of the B photos; ``None`` if the encoder learns and must see them itself.
        pixels: ``[B, 3, H, W]``, the photos; ``None`` if their features are known.
        tokens: ``[R, T + 1]`` ids that start with ``<START>``, end with ``<END>`` unless cut, and are padded; the
            longest caption of a photo comes first.
        image_share: The share that these photos are of the batch they are a part of.
        word_share: The share that the words of these captions are of it, ``<END>`` counted as a word.
        caption_length: Mean words of a caption of that whole batch, counted so too.
        seeds: One for each photo, of all that is random about it; the same in any part.
    """

    image_ids: tuple[int, ...]
    features: Features | None
    pixels: Tensor | None
    tokens: Tensor
    image_share: float = 1.0
    word_share: float = 1.0
    caption_length: float = 1.0
    seeds: tuple[int, ...] = ()

    def to(self, device: torch.device) -> "Batch":
        """Return the batch on a device."""
        features, pixels = self.features, self.pixels
        return replace(
            self,
            features=None if features is None else features.to(device),
            pixels=None if pixels is None else pixels.to(device, non_blocking=True),
            tokens=self.tokens.to(device, non_blocking=True),
        )


class CaptionBatches:
    """All batches of a training set.

    An epoch shows every photo once, with as many captions as the photo that has most; a photo with fewer shows some of
    them again. Being a function of (seed, epoch, position), the order needs no state to resume.

    Args:
        images: The photos and their captions.
        tokenizer: From captions to ids.
        size: B, photos per batch.
        max_tokens: Longer captions are cut to this many tokens, and then do not end.
        seed: Of the order.
    """

    def __init__(
        self,
        images: Sequence[CaptionedImage],
        tokenizer: Tokenizer,
        *,
        size: int,
        max_tokens: int,
        seed: int,
    ) -> None:
        self.images = images
        self.tokenizer = tokenizer
        self.size = size
        self.seed = seed
        self.captions = [
            [[*tokenizer.encode(text), tokenizer.eos_id][: max_tokens + 1] for text in image.captions]
            for image in images
        ]
        self.captions_per_image = max(map(len, self.captions))
        self.mirrorable = torch.tensor([not any(map(SIDED.search, image.captions)) for image in images])

    def __len__(self) -> int:
        """Batches of an epoch; the last one may be smaller."""
        return math.ceil(len(self.images) / self.size)

    def photos_at(self, position: int) -> int:
        """Return how many photos the batch at a position has."""
        return min(self.size, len(self.images) - position * self.size)

    def batch(self, source: PhotoSource, epoch: int, position: int, part: int = 0, parts: int = 1) -> Batch:
        """Return one batch of an epoch, positions counted from 0, or a part of it.

        Args:
            source: What it shows of its photos.
            epoch: From 0.
            position: From 0.
            part: Which part, from 0: every photo whose place in the batch leaves this remainder.
            parts: Into how many parts the batch is cut; what they learn adds up to what the whole batch would.
        """
        order, mirror = self._order(epoch)
        whole = order[position * self.size : (position + 1) * self.size]
        chosen = whole[part::parts]
        rows, whole_rows = self._rows(epoch, chosen), self._rows(epoch, whole)
        words = sum(map(len, whole_rows))
        seeds = self._seeds(epoch, position, len(whole))[part::parts]
        features, pixels = source.read(chosen, mirror[chosen], seeds)
        return Batch(
            image_ids=tuple(self.images[index].image_id for index in chosen.tolist()),
            features=features,
            pixels=pixels,
            tokens=self._pad(rows),
            image_share=len(chosen) / len(whole),
            word_share=sum(map(len, rows)) / words,
            caption_length=words / len(whole_rows),
            seeds=tuple(seeds.tolist()),
        )

    def _seeds(self, epoch: int, position: int, photos: int) -> Tensor:
        """Return a seed for each photo of a whole batch."""
        seed = (self.seed * 1_000_003 + epoch) * len(self) + position
        return torch.randint(2**62, (photos,), generator=torch.Generator().manual_seed(seed % 2**63))

    def _rows(self, epoch: int, chosen: Tensor) -> list[list[int]]:
        return [row for index in chosen.tolist() for row in self._captions(epoch, index)]

    def _order(self, epoch: int) -> tuple[Tensor, Tensor]:
        """Return a permutation of the photos, and which of them to mirror."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        order = torch.randperm(len(self.images), generator=generator)
        coin = torch.rand(len(self.images), generator=generator) < 0.5
        return order, coin & self.mirrorable

    def _captions(self, epoch: int, index: int) -> list[list[int]]:
        captions = self.captions[index]
        shown = [captions[(epoch + i) % len(captions)] for i in range(self.captions_per_image)]
        return sorted(shown, key=len, reverse=True)

    def _pad(self, rows: Sequence[Sequence[int]]) -> Tensor:
        tokens = torch.full((len(rows), 1 + max(map(len, rows))), self.tokenizer.pad_id)
        tokens[:, 0] = self.tokenizer.bos_id
        for row, caption in enumerate(rows):
            tokens[row, 1 : 1 + len(caption)] = torch.tensor(caption)
        return tokens
