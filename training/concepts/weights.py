"""The file that a run of concepts leaves: pretrained weights for a captioning recipe's ``encoder_weights``."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from captioner.checkpoint import write_safetensors
from training.concepts.network import ConceptNetwork


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
