"""An encoder with a classifier of concepts on top."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from captioner.checkpoint import write_safetensors
from captioner.encoders import Encoder
from captioner.types import Features

SHARPNESS = 2.0  # r of the pooling: 0 would be the mean of all cells, infinity their maximum
RARE = 0.02  # about the share of photos that have a concept, which a fresh classifier guesses


class ConceptNetwork(nn.Module):
    """Which concepts a photo has: a linear classifier at every cell of the grid, and the cells pooled.

    The score of a concept is ``log(mean_l exp(r z_l)) / r`` over its scores ``z_l`` at the L cells (Pinheiro and
    Collobert 2015), a soft maximum: one cell that sees a dog is enough. Fang et al. 2015 ("From Captions to Visual
    Concepts and Back") learn words from captions so, with another pooling.

    Args:
        encoder: What makes the grid.
        concepts: K.
        dropout: Probability with which a channel of a cell is dropped in training.
    """

    def __init__(self, encoder: Encoder, concepts: int, dropout: float) -> None:
        super().__init__()
        if encoder.grid_size is None:
            raise ValueError("the encoder makes no grid")
        self.encoder = encoder
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(encoder.grid_size, concepts)
        nn.init.normal_(self.classifier.weight, std=0.01)
        nn.init.constant_(self.classifier.bias, math.log(RARE / (1 - RARE)))

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the log-odds of the concepts, ``[B, K]``, of pixels ``[B, 3, H, W]``."""
        return self.log_odds(self.encoder(pixels))

    def log_odds(self, features: Features) -> Tensor:
        """Return the log-odds of the concepts, ``[B, K]``, of what the encoder made of photos."""
        grid = self.dropout(features.require_grid())  # [B, L, D]
        scores = self.classifier(grid).float()  # [B, L, K]
        pooled = torch.logsumexp(SHARPNESS * scores, dim=1) - math.log(scores.shape[1])
        return pooled / SHARPNESS


@dataclass(frozen=True)
class ConceptModel:
    """An encoder that knows concepts.

    Attributes:
        network: The encoder and its classifier, in evaluation mode.
        words: The K concepts.
        provenance: Where it comes from.
    """

    network: ConceptNetwork
    words: list[str]
    provenance: Mapping[str, Any]


def save_concepts(model: ConceptModel, path: Path) -> None:
    """Write the encoder's weights under torchvision's names, and the classifier's under ``classifier.concepts``.

    The header carries, as JSON texts, ``kind`` ("concepts"), ``words`` and ``provenance``.
    """
    head = {f"classifier.concepts.{name}": value for name, value in model.network.classifier.state_dict().items()}
    weights = {**model.network.encoder.pretrained_state(), **head}
    stored = {name: value.cpu().contiguous() for name, value in weights.items()}
    header = {"kind": "concepts", "words": model.words, "provenance": dict(model.provenance)}
    write_safetensors(path, stored, {key: json.dumps(value) for key, value in header.items()})
