"""Networks that answer questions, for the encoder of any captioner, with random weights."""

from pathlib import Path

import torch

from captioner.answers.checkpoint import AnswerModel, save_answers
from captioner.answers.header import AnswerConfig, AnswerDescription, identify_encoder
from captioner.answers.network import AnswerNetwork
from captioner.checkpoint import build_checkpoint
from captioner.header import CheckpointFile
from captioner.tokenizers import WordTokenizer

ANSWERS = ("1", "2", "dog", "white")
WORDS = ("how", "many", "dogs", "what", "is", "the", "color")


def make_answers(captioner: Path, config: AnswerConfig | None = None) -> AnswerModel:
    """Return a small network for a captioner's encoder."""
    config = config or AnswerConfig(embedding_size=6, hidden_size=10, attention_size=5)
    file = CheckpointFile.read(captioner)
    encoder = build_checkpoint(file).model.encoder
    sizes, tokenizer = (encoder.vector_size, encoder.grid_size or 0), WordTokenizer(WORDS)
    torch.manual_seed(1)
    network = AnswerNetwork(config, len(tokenizer), len(ANSWERS), *sizes)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    description = AnswerDescription(config, tokenizer, ANSWERS, identify_encoder(file), sizes, {"name": "small"})
    return AnswerModel(network.eval(), description)


def write_answers(path: Path, captioner: Path, config: AnswerConfig | None = None) -> Path:
    """Write a small network for a captioner's encoder."""
    save_answers(make_answers(captioner, config), path)
    return path
