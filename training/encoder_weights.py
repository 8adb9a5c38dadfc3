"""The weights that an encoder starts from."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from captioner.config import ImageConfig
from captioner.encoders import Encoder
from training.data import CaptionedImage
from training.initial.batch_norms import measure_norms
from training.initial.pretrained import RANDOM, pretrained_weights


def start_encoder(
    encoder: Encoder, name: str, weights: str, images: Sequence[CaptionedImage], config: ImageConfig
) -> Mapping[str, Tensor]:
    """Give a fresh encoder the weights that a recipe names, and return them.

    Args:
        encoder: What starts.
        name: Its name.
        weights: The recipe's ``encoder_weights``: a file; empty for torchvision's own; or "random", which keeps the
            weights that the encoder was made with and measures the statistics of its batch norms: with fresh ones,
            deep networks answer nearly the same to every photo.
        images: What is learnt from; "random" looks at up to 512 of these photos.
        config: How an image becomes pixels.

    Raises:
        ConfigError: If the weights cannot be read, downloaded or used.
        DataError: If a photo cannot be read; the message names it.
    """
    if weights == RANDOM:
        measure_norms(encoder, images, config)
        return {name: value.clone() for name, value in encoder.state_dict().items()}
    found = pretrained_weights(name, weights)
    encoder.load_pretrained(found)
    return found
