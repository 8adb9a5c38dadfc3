"""Networks that turn pixels into features, by name."""

from collections.abc import Callable

from captioner.config import EncoderConfig
from captioner.encoders.base import Encoder
from captioner.encoders.convnext import ConvNeXtTiny
from captioner.encoders.efficientnet import EfficientNetB0
from captioner.encoders.mobilenet_v2 import MobileNetV2
from captioner.encoders.mobilenet_v3 import MobileNetV3Large
from captioner.encoders.resnet import ResNet50, ResNet101
from captioner.encoders.tiny import Tiny
from captioner.encoders.vgg import VGG16
from captioner.registry import Registry

ENCODERS: Registry[Callable[[EncoderConfig], Encoder]] = Registry(
    "encoder",
    {
        "convnext_tiny": ConvNeXtTiny,
        "efficientnet_b0": EfficientNetB0,
        "mobilenet_v2": MobileNetV2,
        "mobilenet_v3_large": MobileNetV3Large,
        "resnet50": ResNet50,
        "resnet101": ResNet101,
        "tiny": Tiny,
        "vgg16": VGG16,
    },
)

__all__ = ["ENCODERS", "Encoder"]
