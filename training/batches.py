"""The order in which a run sees photos and captions: a pure function of seed, epoch and position."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from captioner.tokenizers import Tokenizer
from captioner.types import Features
from training.coco import CaptionedImage
from training.features import CachedFeatures

SIDED = re.compile(r"\b(?:left|right)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Batch:
    """B photos with C captions each; R = B * C rows, grouped by photo.

    Attributes:
        image_ids: The B ids, for messages.
        features: Of the B photos.
        tokens: ``[R, T + 1]`` ids that start with ``<START>``, end with ``<END>`` unless cut, and are padded.
    """

    image_ids: tuple[int, ...]
    features: Features
    tokens: Tensor


class CaptionBatches:
    """All batches of a training set.

    An epoch shows every photo once, with as many captions as the photo that has most; a photo with fewer shows some of
    them again. Being a function of (seed, epoch, position), the order needs no state to resume.

    Args:
        images: The photos and their captions.
        upright: Features of the photos, in the same order.
        mirrored: Features of the mirrored photos, or ``None`` to learn from upright ones alone.
        tokenizer: From captions to ids.
        size: B, photos per batch.
        max_tokens: Longer captions are cut to this many tokens, and then do not end.
        seed: Of the order.
    """

    def __init__(
        self,
        images: Sequence[CaptionedImage],
        upright: CachedFeatures,
        mirrored: CachedFeatures | None,
        tokenizer: Tokenizer,
        *,
        size: int,
        max_tokens: int,
        seed: int,
    ) -> None:
        self.images = images
        self.upright = upright
        self.mirrored = mirrored
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

    def batch(self, epoch: int, position: int) -> Batch:
        """Return one batch of an epoch, positions counted from 0."""
        order, mirror = self._order(epoch)
        chosen = order[position * self.size : (position + 1) * self.size]
        rows = [row for index in chosen.tolist() for row in self._captions(epoch, index)]
        return Batch(
            image_ids=tuple(self.images[index].image_id for index in chosen.tolist()),
            features=self._features(chosen, mirror[chosen]),
            tokens=self._pad(rows),
        )

    def _order(self, epoch: int) -> tuple[Tensor, Tensor]:
        """Return a permutation of the photos, and which of them to mirror."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        order = torch.randperm(len(self.images), generator=generator)
        coin = torch.rand(len(self.images), generator=generator) < 0.5
        return order, coin & self.mirrorable

    def _captions(self, epoch: int, index: int) -> list[list[int]]:
        captions = self.captions[index]
        return [captions[(epoch + i) % len(captions)] for i in range(self.captions_per_image)]

    def _features(self, chosen: Tensor, mirror: Tensor) -> Features:
        features = self.upright.batch(chosen.tolist())
        if self.mirrored is not None and bool(mirror.any()):
            other = self.mirrored.batch(chosen[mirror].tolist())
            features.vector[mirror] = other.vector
            if features.grid is not None and other.grid is not None:
                features.grid[mirror] = other.grid
        return features

    def _pad(self, rows: Sequence[Sequence[int]]) -> Tensor:
        tokens = torch.full((len(rows), 1 + max(map(len, rows))), self.tokenizer.pad_id)
        tokens[:, 0] = self.tokenizer.bos_id
        for row, caption in enumerate(rows):
            tokens[row, 1 : 1 + len(caption)] = torch.tensor(caption)
        return tokens
