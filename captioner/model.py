"""An encoder and a decoder, nothing else."""

from collections.abc import Sequence

from torch import Tensor, nn

from captioner.config import ModelConfig
from captioner.decoders import DECODERS
from captioner.decoding import DecodingOptions, SpecialTokens, search
from captioner.encoders import ENCODERS
from captioner.errors import ConfigError
from captioner.types import Features, Hypothesis


class CaptionModel(nn.Module):
    """A network from pixels to captions. Building it downloads nothing; its weights are random until they are loaded.

    Args:
        config: What it is made of.
        vocabulary_size: V of its tokenizer.

    Raises:
        ConfigError: If a name is unknown, or the image size is no multiple of the encoder's stride.
    """

    def __init__(self, config: ModelConfig, vocabulary_size: int) -> None:
        super().__init__()
        self.config = config
        self.encoder = ENCODERS[config.encoder.name](config.encoder)
        stride = self.encoder.stride
        if config.image.size % stride:
            raise ConfigError(f"image size is {config.image.size}; {config.encoder.name} needs a multiple of {stride}")
        build = DECODERS[config.decoder.name]
        self.decoder = build(config.decoder, self.encoder.vector_size, self.encoder.grid_size, vocabulary_size)

    def forward(self, pixels: Tensor) -> Features:
        """Encode pixels ``[B, 3, H, W]``."""
        features: Features = self.encoder(pixels)
        return features

    def search(
        self, features: Features, special: SpecialTokens, options: DecodingOptions
    ) -> Sequence[Sequence[Hypothesis]]:
        """Find the best captions of B encoded images; see :func:`captioner.decoding.search`."""
        memory = self.decoder.prepare(features)
        return search(self.decoder, memory, features.vector.shape[0], special, options)
