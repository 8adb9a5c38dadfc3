"""Networks that turn pixels into features, by name."""

from collections.abc import Callable
from dataclasses import replace

from captioner.config import EncoderConfig
from captioner.encoders.base import Encoder
from captioner.encoders.branched import BranchedEncoder, first_difference
from captioner.encoders.efficientnet_lite import EfficientNetLite0, EfficientNetLite2
from captioner.encoders.tiny import Tiny
from captioner.encoders.torchvision import (
    VGG16,
    ConvNeXtTiny,
    EfficientNetB0,
    MobileNetV2,
    MobileNetV3Large,
    ResNet50,
    ResNet101,
)
from captioner.registry import Registry

ENCODERS: Registry[Callable[[EncoderConfig], Encoder]] = Registry(
    "encoder",
    {
        "convnext_tiny": ConvNeXtTiny,
        "efficientnet_b0": EfficientNetB0,
        "efficientnet_lite0": EfficientNetLite0,
        "efficientnet_lite2": EfficientNetLite2,
        "mobilenet_v2": MobileNetV2,
        "mobilenet_v3_large": MobileNetV3Large,
        "resnet50": ResNet50,
        "resnet101": ResNet101,
        "tiny": Tiny,
        "vgg16": VGG16,
    },
)


def build_encoder(config: EncoderConfig) -> Encoder:
    """Return a fresh encoder as configured: one network, or several that share their first stages.

    Raises:
        ConfigError: If its name, its padding or its stage is unknown.
    """
    build = ENCODERS[config.name]
    if config.branches == 1:
        return build(config)
    alone = replace(config, branches=1, branch_stage="")
    return BranchedEncoder(config, [build(alone) for _ in range(config.branches)])


__all__ = ["ENCODERS", "BranchedEncoder", "Encoder", "build_encoder", "first_difference"]
