"""Networks that turn features into words, by name."""

from collections.abc import Callable
from typing import Any

from captioner.config import DecoderConfig
from captioner.decoders.base import Decoder
from captioner.decoders.top_down import TopDownDecoder
from captioner.registry import Registry

Builder = Callable[[DecoderConfig, int, int, int], Decoder[Any, Any]]
DECODERS: Registry[Builder] = Registry("decoder", {"top_down": TopDownDecoder})

__all__ = ["DECODERS", "Decoder"]
