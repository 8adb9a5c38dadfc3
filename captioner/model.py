"""An encoder and a decoder, nothing else."""

from typing import Any

from torch import Tensor, nn

from captioner.config import ModelConfig
from captioner.decoders import DECODERS, Decoder, build_decoder
from captioner.encoders import ENCODERS, build_encoder
from captioner.errors import ConfigError
from captioner.types import Features


class CaptionModel(nn.Module):
    """A network from pixels to captions. Building it downloads nothing; its weights are random until they are loaded.

    Args:
        config: What it is made of.
        vocabulary_size: V of its tokenizer.

    Raises:
        ConfigError: If a name is unknown, the encoder does not take images of that size, or the decoder needs what the
            encoder does not give.
    """

    def __init__(self, config: ModelConfig, vocabulary_size: int) -> None:
        super().__init__()
        self.config = config
        _check_match(config, DECODERS[config.decoder.name])
        self.encoder = build_encoder(config.encoder)
        stride = self.encoder.stride
        if config.image.size % stride:
            raise ConfigError(f"image size is {config.image.size}; {config.encoder.name} needs a multiple of {stride}")
        if self.encoder.only_size not in (None, config.image.size):
            only = self.encoder.only_size
            raise ConfigError(f"image size is {config.image.size}; {config.encoder.name} takes {only} alone")
        branches = config.encoder.branches
        sizes = self.encoder.vector_size // branches, (self.encoder.grid_size or 0) // branches
        self.decoder = build_decoder(config.decoder, *sizes, vocabulary_size)

    def forward(self, pixels: Tensor) -> Features:
        """Encode pixels ``[B, 3, H, W]``."""
        features: Features = self.encoder(pixels)
        return features


def _check_match(config: ModelConfig, decoder: type[Decoder[Any, Any]]) -> None:
    if decoder.attends and config.encoder.outputs == "vector":
        raise ConfigError(
            f"decoder {config.decoder.name} attends over a grid, which encoder {config.encoder.name} with outputs "
            f"'vector' does not give; set outputs to 'both' or 'grid', with any of the encoders {', '.join(ENCODERS)}"
        )
    seen, branches = set(config.decoder.reads), config.encoder.branches
    if branches > 1 and seen != set(range(branches)):
        raise ConfigError(
            f"decoder reads is {config.decoder.reads}; with {branches} branches of the encoder it must name each of "
            f"them, from 0 to {branches - 1}"
        )
    if branches == 1 and seen - {0}:
        raise ConfigError(f"decoder reads is {config.decoder.reads}; the encoder has one branch, which is 0")
