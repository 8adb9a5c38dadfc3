"""Captioned photos: where they come from, in which formats, and what may be wrong with them."""

from training.data.formats.table import FORMATS
from training.data.shards import ShardSource
from training.data.source import CaptionedImage, CaptionSource, load_captioned_images

__all__ = ["FORMATS", "CaptionSource", "CaptionedImage", "ShardSource", "load_captioned_images"]
