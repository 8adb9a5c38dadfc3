"""How right a network's answers are, by kind of question."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from captioner.answers.network import AnswerNetwork
from captioner.types import Features
from training.answers.batches import Encoded
from training.inputs.features import CachedFeatures
from training.questions.files import PhotoQuestion

BATCH = 64
NOTHING = Features(torch.zeros(0), None, 0, 0)  # what a network that does not see is shown


@torch.inference_mode()
def best_answers(
    network: AnswerNetwork, encoded: Encoded, features: CachedFeatures | None, rows: Sequence[int]
) -> Tensor:
    """Return the most probable answer ``[Q]`` to each question.

    Args:
        network: In evaluation mode.
        encoded: The questions.
        features: Of all photos; ``None`` for a network that does not see.
        rows: The photo of each question among them.
    """
    found = []
    device = network.output.weight.device
    for start in range(0, len(rows), BATCH):
        part = slice(start, start + BATCH)
        seen = NOTHING if features is None else features.batch(rows[part]).to(device)
        logits, _ = network(encoded.tokens[part].to(device), encoded.lengths[part].to(device), seen)
        found.append(logits.argmax(dim=1).cpu())
    return torch.cat(found)


def score_by_kind(questions: Sequence[PhotoQuestion], scores: Tensor) -> dict[str, float]:
    """Return the mean score of each kind of question, and ``mean``, the mean of these."""
    kinds = sorted({one.kind for one in questions})
    found = {
        kind: float(scores[[index for index, one in enumerate(questions) if one.kind == kind]].mean()) for kind in kinds
    }
    return {**found, "mean": sum(found.values()) / len(found)}


def told(scores: Mapping[str, float]) -> str:
    """Return scores as percentages."""
    return ", ".join(f"{kind} {100 * score:.1f}" for kind, score in scores.items())
