"""Learning without forgetting: an encoder that learns goes on telling apart the classes that it was pretrained for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from captioner.config import STRICT, EncoderConfig
from captioner.encoders import Encoder, build_encoder
from captioner.errors import ConfigError
from captioner.ranges import Range, check_ranges
from training.initial.pretrained import pretrained_weights


@dataclass(frozen=True)
class DistillationRecipe:
    """What an encoder that learns is held to.

    Attributes:
        weights: File of pretrained weights of the same encoder, with their classifier, as ``encoder_weights`` takes
            them. Empty holds it to nothing.
        weight: Of the divergence from the classes' probabilities, which is added to the loss wherever the encoder
            learns.
        temperature: By which logits are divided first. The higher it is, the more the unlikely classes count.
    """

    __pydantic_config__ = STRICT
    weights: str = ""
    weight: Annotated[float, Range(0, 1000)] = 1.0
    temperature: Annotated[float, Range(0.1, 1000)] = 2.0

    def __post_init__(self) -> None:
        check_ranges(self, "distillation.")


class ClassTeacher(nn.Module):
    """The encoder as it was pretrained, which never changes, and the classifier that reads its vector.

    Li and Hoiem 2016, "Learning without Forgetting": the network that learns something new sees the new photos alone,
    and keeps to what the old one says of them. Here the classifier stays as it is, so that it can be read from the
    encoder's vector ever after.

    Args:
        config: Of the encoder.
        recipe: Where its weights are, and how much they count.

    Raises:
        ConfigError: If the weights are not that encoder's, or have no classifier that reads its vector.
    """

    classifier_weight: Tensor
    classifier_bias: Tensor

    def __init__(self, config: EncoderConfig, recipe: DistillationRecipe) -> None:
        super().__init__()
        self.recipe = recipe
        self.encoder = build_encoder(config)
        weights = pretrained_weights(config.name, recipe.weights)
        self.encoder.load_pretrained(weights)
        weight, bias = classifier_of(self.encoder, weights, recipe.weights)
        self.register_buffer("classifier_weight", weight)
        self.register_buffer("classifier_bias", bias)
        self.requires_grad_(False).eval()

    def forward(self, pixels: Tensor, vector: Tensor) -> Tensor:
        """Return the weighted mean over photos of ``T^2 KL(p_T || q_T)``.

        ``p_T`` are the classes' probabilities by the pretrained encoder, ``q_T`` those by the encoder that learns, of
        logits divided by the temperature T. The factor keeps gradients as large at any temperature (Hinton, Vinyals and
        Dean 2015, section 2).

        Args:
            pixels: ``[B, 3, H, W]``, which both encoders see.
            vector: ``[B, P]``, what the encoder that learns makes of them.
        """
        with torch.no_grad():
            wanted = self._log_probs(self.encoder(pixels).vector)
        found = self._log_probs(vector)
        divergence = F.kl_div(found, wanted, reduction="batchmean", log_target=True)
        return self.recipe.weight * self.recipe.temperature**2 * divergence

    def _log_probs(self, vector: Tensor) -> Tensor:
        with torch.autocast(vector.device.type, enabled=False):
            logits = F.linear(vector.float(), self.classifier_weight, self.classifier_bias)
        return F.log_softmax(logits / self.recipe.temperature, dim=1)


def class_teacher(config: EncoderConfig, recipe: DistillationRecipe) -> ClassTeacher | None:
    """Return what a recipe holds its encoder to; ``None`` if that is nothing."""
    return ClassTeacher(config, recipe) if recipe.weights and recipe.weight else None


def classifier_of(encoder: Encoder, weights: Mapping[str, Tensor], file: str) -> tuple[Tensor, Tensor]:
    """Return the matrix ``[C, P]`` and the bias ``[C]`` of the classifier in a file of an encoder's pretrained weights.

    Raises:
        ConfigError: If there is none that reads the encoder's vector, or several.
    """
    found = [
        name
        for name, value in weights.items()
        if name.startswith(encoder.left_out)
        and value.ndim == 2
        and value.shape[1] == encoder.vector_size
        and name.replace("weight", "bias") in weights
    ]
    if len(found) != 1:
        raise ConfigError(
            f"distillation.weights {file}: has {len(found)} classifiers of vectors of {encoder.vector_size}; "
            f"it must have one, as ImageNet's weights of {encoder.config.name} do"
        )
    return weights[found[0]], weights[found[0].replace("weight", "bias")]
