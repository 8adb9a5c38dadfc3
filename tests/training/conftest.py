"""A captioned dataset of coloured blocks, in COCO's format."""

import json
from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import save_file

from captioner.config import from_dict
from tests.support.networks import calibrate
from tests.support.pictures import noise_image
from training.recipe import Recipe

SUBJECTS = ("a dog", "two children", "a man", "the ball", "a girl")
PLACES = ("on the grass", "in the snow", "near the water")


def captions_of(number: int) -> list[str]:
    subject, place = SUBJECTS[number % 5], PLACES[number % 3]
    return [f"{subject} runs {place}", f"{subject} plays {place} .", f"{subject} is {place}"]


def write_coco(folder: Path, name: str, numbers: range) -> None:
    """Write photos and their captions file; photo n has id 1000 + n."""
    (folder / name).mkdir(parents=True)
    images, annotations = [], []
    for number in numbers:
        file_name = f"{number}.png"
        noise_image(number).save(folder / name / file_name)
        images.append({"id": 1000 + number, "file_name": file_name})
        annotations += [
            {"id": 10 * number + index, "image_id": 1000 + number, "caption": caption}
            for index, caption in enumerate(captions_of(number))
        ]
    content = {"info": {}, "images": images, "annotations": annotations}
    (folder / f"{name}.json").write_text(json.dumps(content))


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fourteen photos to learn from, five to validate on, and random encoder weights."""
    folder = tmp_path_factory.mktemp("dataset")
    write_coco(folder, "train", range(14))
    write_coco(folder, "val", range(20, 25))
    torch.manual_seed(0)
    network = torchvision.models.mobilenet_v2(weights=None)
    calibrate(network)
    save_file(network.state_dict(), folder / "mobilenet_v2.safetensors")
    return folder


@pytest.fixture
def recipe(dataset: Path, tmp_path: Path) -> Recipe:
    """A recipe that trains a small model on the dataset in seconds."""
    return from_dict(
        Recipe,
        {
            "name": "blocks",
            "runs": str(tmp_path / "runs"),
            "cache": str(dataset / "cache"),
            "encoder_weights": str(dataset / "mobilenet_v2.safetensors"),
            "data": {
                "root": str(dataset),
                "train_annotations": "train.json",
                "train_images": "train",
                "val_annotations": "val.json",
                "val_images": "val",
                "mirror": True,
            },
            "tokenizer": {"min_count": 2},
            "model": {
                "image": {"size": 64},
                "decoder": {"embedding_size": 8, "hidden_size": 12, "attention_size": 6, "dropout": 0.2},
            },
            "training": {
                "images_per_batch": 4,
                "average": 0.8,
                "phases": [{"epochs": 3, "learning_rate": 0.01}],
            },
            "decoding": {"beam_size": 2, "max_length": 8},
        },
    )
