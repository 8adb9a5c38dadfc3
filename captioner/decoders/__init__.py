"""Networks that turn features into words, by name."""

from typing import Any

from captioner.decoders.base import Decoder
from captioner.decoders.conditioned import ConditionedDecoder
from captioner.decoders.soft_attention import SoftAttentionDecoder
from captioner.decoders.top_down import TopDownDecoder
from captioner.registry import Registry

DECODERS: Registry[type[Decoder[Any, Any]]] = Registry(
    "decoder",
    {"conditioned": ConditionedDecoder, "soft_attention": SoftAttentionDecoder, "top_down": TopDownDecoder},
)

__all__ = ["DECODERS", "ConditionedDecoder", "Decoder", "SoftAttentionDecoder", "TopDownDecoder"]
