"""What batches show of the photos: features while the encoder is frozen, pixels while it learns."""

from collections.abc import Sequence
from pathlib import Path

from captioner.model import CaptionModel
from training.batches import FeatureSource
from training.data import CaptionedImage
from training.features import CachedFeatures, cache_features
from training.photos import MARGIN, AugmentedSource, store_photos


class Sources:
    """The photos of a run, as its phases need them.

    Args:
        images: Of the training set.
        val_images: Of the validation set.
        model: Whose encoder sees them; features are those of its present weights.
        cache: Folder of features and photos.
    """

    def __init__(
        self, images: Sequence[CaptionedImage], val_images: Sequence[CaptionedImage], model: CaptionModel, cache: Path
    ) -> None:
        self.paths = [image.path for image in images]
        self.val_paths = [image.path for image in val_images]
        self.model = model
        self.cache = cache

    def features(self, mirror: bool) -> FeatureSource:
        """Return what the frozen encoder makes of the training photos, and of mirrored ones if asked for."""
        upright = cache_features(self.model, self.paths, self.cache)
        mirrored = cache_features(self.model, self.paths, self.cache, mirrored=True) if mirror else None
        return FeatureSource(upright, mirrored)

    def photos(self) -> AugmentedSource:
        """Return the training photos themselves."""
        config = self.model.config.image
        return AugmentedSource(store_photos(self.paths, round(config.size * MARGIN), self.cache), config)

    def val_features(self) -> CachedFeatures:
        """Return what the frozen encoder makes of the validation photos."""
        return cache_features(self.model, self.val_paths, self.cache)
