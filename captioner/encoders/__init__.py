"""Networks that turn pixels into features, by name."""

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from typing import Any

from captioner.config import EncoderConfig
from captioner.encoders.base import TIMM, Encoder
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
from captioner.errors import ConfigError
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
    further=f"{TIMM}NAME, any network of timm by its name there",
)


def timm_networks() -> Any:
    """Return :mod:`captioner.encoders.timm`, which is imported here and nowhere else.

    Raises:
        ConfigError: If timm is not installed.
    """
    try:
        return import_module("captioner.encoders.timm")
    except ModuleNotFoundError as error:
        if error.name != "timm":
            raise
        raise ConfigError(
            f"encoders whose names begin with {TIMM} need timm, which is not installed; "
            "pip install 'captioner[timm]' (in a checkout: pip install -e '.[timm]')"
        ) from None


def build_encoder(config: EncoderConfig) -> Encoder:
    """Return a fresh encoder as configured: one network, or several that share their first stages.

    Raises:
        ConfigError: If its name, its padding or its stage is unknown, or it needs timm, which is not installed.
    """
    build: Callable[[EncoderConfig], Encoder]
    build = timm_networks().TimmEncoder if config.name.startswith(TIMM) else ENCODERS[config.name]
    if config.branches == 1 or config.name.startswith(TIMM):
        return build(config)
    alone = replace(config, branches=1, branch_stage="")
    return BranchedEncoder(config, [build(alone) for _ in range(config.branches)])


__all__ = ["ENCODERS", "TIMM", "BranchedEncoder", "Encoder", "build_encoder", "first_difference", "timm_networks"]
