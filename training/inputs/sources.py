"""What batches show of the photos: features while the encoder is frozen, pixels while it learns."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from torch import Tensor

from captioner.model import CaptionModel
from captioner.types import Features
from training.data import CaptionedImage
from training.inputs.augmentation import MILD, Augmentation
from training.inputs.features import CachedFeatures, Shown, cache_features
from training.inputs.photos import MARGIN, AugmentedPhotos, AugmentedSource, PlainPhotos, store_photos

AGAIN = "encoding photos again"


class PhotoSource(Protocol):
    """What a batch shows of its photos."""

    def read(self, chosen: Tensor, mirror: Tensor, seeds: Tensor) -> tuple[Features | None, Tensor | None]:
        """Return features or pixels of photos.

        Args:
            chosen: ``[B]`` positions of the photos in the training set.
            mirror: ``[B]``, which of them to mirror left to right.
            seeds: ``[B]`` integers, not negative, of what is random about each photo, whatever others are beside it.
        """
        ...


@dataclass(frozen=True)
class FeatureSource:
    """Features that a frozen encoder made once.

    Attributes:
        upright: Of the photos.
        mirrored: Of the mirrored photos, or ``None`` to show upright ones alone.
        augmented: Of augmented versions of the photos; each of them is shown as often as the photo itself.
    """

    upright: CachedFeatures
    mirrored: CachedFeatures | None = None
    augmented: tuple[CachedFeatures, ...] = ()

    def read(self, chosen: Tensor, mirror: Tensor, seeds: Tensor) -> tuple[Features, None]:
        """Return the features of photos."""
        features = self.upright.batch(chosen.tolist())
        if self.mirrored is not None:
            _replace(features, self.mirrored, chosen, mirror)
        version = seeds % (1 + len(self.augmented))
        for number, other in enumerate(self.augmented, 1):
            _replace(features, other, chosen, version == number)
        return features, None


def _replace(features: Features, cached: CachedFeatures, chosen: Tensor, where: Tensor) -> None:
    """Put the features of another version of the chosen photos in the place of some of them, ``where [B]`` is true."""
    if bool(where.any()):
        other = cached.batch(chosen[where].tolist())
        features.vector[where] = other.vector
        if features.grid is not None and other.grid is not None:
            features.grid[where] = other.grid


class Sources:
    """The photos of a run, as its phases need them.

    Args:
        images: Of the training set.
        val_images: Of the validation set.
        model: Whose encoder sees them; features are those of its present weights.
        cache: Folder of features and photos.
        low_precision: Whether the features to learn from are made in bfloat16; those of the validation photos never
            are, since whoever captions with the model will not have such ones.
        augmentation: How strongly training photos are cropped and coloured.
    """

    def __init__(
        self,
        images: Sequence[CaptionedImage],
        val_images: Sequence[CaptionedImage],
        model: CaptionModel,
        cache: Path,
        low_precision: bool = False,
        augmentation: Augmentation = MILD,
    ) -> None:
        self.paths = [image.path for image in images]
        self.val_paths = [image.path for image in val_images]
        self.model = model
        self.config = model.config.image
        self.cache = cache
        self.low_precision = low_precision
        self.augmentation = augmentation

    def features(self, mirror: bool, augmented: int, mirrorable: Tensor) -> FeatureSource:
        """Return what the frozen encoder makes of the training photos.

        Args:
            mirror: Whether to make features of the mirrored photos too.
            augmented: Of how many augmented versions of every photo to make features.
            mirrorable: ``[I]``, which photos may be mirrored in these.
        """
        upright = self._cached(PlainPhotos(self.paths, self.config), "encoding photos")
        mirrored = self._cached(PlainPhotos(self.paths, self.config, True), f"{AGAIN}, mirrored") if mirror else None
        photos = self.photos() if augmented else None
        versions = [
            self._cached(
                AugmentedPhotos(self.paths, photos, mirrorable, version), f"{AGAIN}, augmented {version} of {augmented}"
            )
            for version in range(1, augmented + 1)
            if photos is not None
        ]
        return FeatureSource(upright, mirrored, tuple(versions))

    def _cached(self, shown: Shown, title: str) -> CachedFeatures:
        return cache_features(self.model, shown, self.cache, self.low_precision, title)

    def photos(self) -> AugmentedSource:
        """Return the training photos themselves, augmented beside the encoder."""
        store = store_photos(self.paths, round(self.config.size * MARGIN), self.cache)
        device = next(self.model.parameters()).device
        return AugmentedSource(store, self.config, self.augmentation, device)

    def val_features(self) -> CachedFeatures:
        """Return what the frozen encoder makes of the validation photos."""
        photos = PlainPhotos(self.val_paths, self.config)
        return cache_features(self.model, photos, self.cache, title="encoding validation photos")
