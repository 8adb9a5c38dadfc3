"""A model so small that it learns a correction in seconds, and how to let it."""

import torch

from captioner.checkpoint import Checkpoint
from captioner.config import DecoderConfig, EncoderConfig, ImageConfig, ModelConfig
from captioner.model import CaptionModel
from captioner.tokenizers import WordTokenizer
from tests.conftest import WORDS
from tests.support.networks import calibrate

SETTINGS = (
    "training.epochs=2",
    "training.epoch_steps=60",
    "training.augmented=1",
    "training.learning_rate=0.01",
    "training.word_rate=0.02",
    "training.keep=0.5",
    "training.precision=float32",
)
FAST = [word for one in SETTINGS for word in ("--set", one)]


def make_growable() -> Checkpoint:
    """Return a model that has learnt nothing, and can."""
    torch.manual_seed(0)
    decoder = DecoderConfig(embedding_size=16, hidden_size=32, attention_size=8)
    tokenizer = WordTokenizer(WORDS)
    model = CaptionModel(ModelConfig(ImageConfig(size=64), EncoderConfig("tiny"), decoder), len(tokenizer))
    calibrate(model.encoder)
    return Checkpoint(model.eval(), tokenizer, {"name": "small", "version": "7"})
