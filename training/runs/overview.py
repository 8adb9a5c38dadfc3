"""What a run says of itself before it starts."""

from collections.abc import Iterable, Sequence

from torch import nn

from captioner.devices import describe_device
from captioner.encoders import TIMM
from captioner.model import CaptionModel
from captioner.tokenizers import Tokenizer
from training.data import CaptionedImage
from training.initial.pretrained import RANDOM
from training.recipe import Recipe
from training.runs.distributed import World


def device_name(world: World) -> str:
    """Say where a run computes."""
    name = describe_device(world.device)
    return name if world.size == 1 else f"{name}, {world.size} processes"


def data_rows(images: Sequence[CaptionedImage], val_images: Sequence[CaptionedImage]) -> list[tuple[str, str]]:
    """Say how many photos and captions there are."""
    learnt, validated = (sum(len(image.captions) for image in part) for part in (images, val_images))
    return [
        ("photos", f"{len(images):,} to learn from, {len(val_images):,} to validate on"),
        ("captions", f"{learnt:,} to learn from, {validated:,} to validate on"),
    ]


def vocabulary_row(tokenizer: Tokenizer) -> tuple[str, str]:
    """Say how many words a model knows."""
    return "vocabulary", f"{len(tokenizer.vocabulary):,} {tokenizer.name}s"


def weights_name(encoder: str, path: str) -> str:
    """Say where an encoder's weights come from, by its name and a recipe's ``encoder_weights``."""
    if path == RANDOM:
        return "random weights"
    owner = "timm" if encoder.startswith(TIMM) else "torchvision"
    return f"weights from {path}" if path else f"{owner}'s own weights"


def model_rows(recipe: Recipe, model: CaptionModel) -> list[tuple[str, str]]:
    """Say what a captioning model is made of, and what it starts from."""
    config = model.config
    start = recipe.start_from
    weights = f"goes on from {start}" if start else weights_name(config.encoder.name, recipe.encoder_weights)
    decoder = f"{config.decoder.name}, {config.decoder.cell}"
    if config.decoder.members > 1:
        decoder += f", {config.decoder.members} members"
    if recipe.decoder_weights:
        decoder += f", weights from {recipe.decoder_weights}"
    return [
        ("encoder", f"{config.encoder.name}, {config.image.size} pixels, {weights}"),
        ("decoder", decoder),
        parameters_row(model, (("encoder", model.encoder), ("decoder", model.decoder))),
    ]


def parameters_row(network: nn.Module, parts: Iterable[tuple[str, nn.Module]] = ()) -> tuple[str, str]:
    """Say how many parameters a network has, and its parts."""
    shares = ", ".join(f"{name} {_count(part):,}" for name, part in parts)
    return "parameters", f"{_count(network):,} ({shares})" if shares else f"{_count(network):,}"


def _count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def overview_text(rows: Sequence[tuple[str, str]]) -> str:
    """Return names and values as lines."""
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"  {name:<{width}}  {value}" for name, value in rows)
