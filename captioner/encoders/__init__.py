"""Networks that turn pixels into features, by name."""

from collections.abc import Callable

from captioner.config import EncoderConfig
from captioner.encoders.base import Encoder
from captioner.encoders.mobilenet_v2 import MobileNetV2
from captioner.registry import Registry

ENCODERS: Registry[Callable[[EncoderConfig], Encoder]] = Registry("encoder", {"mobilenet_v2": MobileNetV2})

__all__ = ["ENCODERS", "Encoder"]
