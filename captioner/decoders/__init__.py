"""Networks that turn features into words, by name."""

from typing import Any

from captioner.config import DecoderConfig
from captioner.decoders.base import Decoder, SingleDecoder
from captioner.decoders.conditioned import ConditionedDecoder
from captioner.decoders.ensemble import Ensemble, members_of
from captioner.decoders.soft_attention import SoftAttentionDecoder
from captioner.decoders.top_down import TopDownDecoder
from captioner.registry import Registry

DECODERS: Registry[type[SingleDecoder[Any, Any]]] = Registry(
    "decoder",
    {"conditioned": ConditionedDecoder, "soft_attention": SoftAttentionDecoder, "top_down": TopDownDecoder},
)


def build_decoder(config: DecoderConfig, vector_size: int, grid_size: int, vocabulary_size: int) -> Decoder[Any, Any]:
    """Return a fresh decoder as configured: one network, or an ensemble of ``config.members``.

    Args:
        config: Its sizes.
        vector_size: P of each branch of the encoder.
        grid_size: D of each branch of the encoder; 0 if it gives no grid.
        vocabulary_size: V.

    Raises:
        ConfigError: If its name is unknown or its sizes do not go together.
    """
    build = DECODERS[config.name]
    members = [build(config, vector_size, grid_size, vocabulary_size) for _ in range(config.members)]
    return members[0] if len(members) == 1 else Ensemble(members, config.reads)


__all__ = [
    "DECODERS",
    "ConditionedDecoder",
    "Decoder",
    "Ensemble",
    "SingleDecoder",
    "SoftAttentionDecoder",
    "TopDownDecoder",
    "build_decoder",
    "members_of",
]
