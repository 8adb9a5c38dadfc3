"""What several test folders need: a small model that has learnt nothing, and pictures to show it."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from captioner.calibration import Calibration, CaptionCalibration, WordCalibration
from captioner.checkpoint import Checkpoint, save_checkpoint
from captioner.config import DecoderConfig, ImageConfig, ModelConfig
from captioner.model import CaptionModel
from captioner.tokenizers import WordTokenizer
from tests.support.networks import calibrate
from tests.support.pictures import noise_image

torch.set_num_threads(1)  # the tensors are small, and threads that wait for each other cost more than they bring
WORDS = ("a", "dog", "runs", "on", "the", "grass", "two", "children", "'s", "ball")


@pytest.fixture(scope="session")
def small_checkpoint() -> Checkpoint:
    """A model for 64-pixel images, with random weights that make it talkative."""
    torch.manual_seed(0)
    config = ModelConfig(
        image=ImageConfig(size=64), decoder=DecoderConfig(embedding_size=8, hidden_size=12, attention_size=6)
    )
    tokenizer = WordTokenizer(WORDS)
    model = CaptionModel(config, len(tokenizer))
    calibrate(model.encoder)
    for parameter in model.decoder.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return Checkpoint(model, tokenizer, {"name": "small", "version": "7"})


@pytest.fixture(scope="session")
def small_checkpoint_file(small_checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "small.safetensors"
    save_checkpoint(small_checkpoint, path)
    return path


@pytest.fixture(scope="session")
def calibration() -> Calibration:
    """What a calibration may look like, with every number different from what leaving it out would give."""
    word = WordCalibration((0.5, -0.25, -0.125, 0.75), 1.5, (-3.0, -1.0, 0.5, 2.0), (0.1, 0.3, 0.6, 0.9), agreement=3)
    return Calibration(word, CaptionCalibration(2.0, 4.5, 0.25, 0.4, 0.5), {"photos": 7})


@pytest.fixture(scope="session")
def pictures() -> list[Image.Image]:
    return [noise_image(seed, 60 + 10 * seed, 80) for seed in range(6)]
