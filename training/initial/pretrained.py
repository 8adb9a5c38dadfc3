"""Pretrained weights of encoders, from a file or from torchvision's or timm's own download."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor
from torchvision.models import get_model_weights

from captioner.checkpoint import looks_pickled
from captioner.config import ImageConfig
from captioner.encoders import TIMM, Encoder, timm_networks
from captioner.errors import ConfigError
from training.data import CaptionedImage
from training.initial.batch_norms import measure_norms

PICKLED = (".pth", ".pt")
RANDOM = "random"  # what a recipe says in place of a file


def pretrained_weights(name: str, path: str) -> dict[str, Tensor]:
    """Read an encoder's pretrained weights from a file, or let torchvision, or timm of its networks, download its own.

    Args:
        name: Of the encoder.
        path: A ``.safetensors`` file, or a ``.pth`` or ``.pt`` file of which nothing but tensors is ever unpickled;
            empty downloads what torchvision deems its best weights, or timm those of the name's tag or its first ones,
            into their own caches.

    Returns:
        Weights under torchvision's or timm's names, those of floating point as float32 on the CPU.

    Raises:
        ConfigError: If the file cannot be read or holds anything but named tensors, or there is nothing to download.
    """
    if not path:
        return _floats(_download(name))
    file = Path(path).expanduser()
    if file.suffix == ".safetensors":
        return _floats(_read_safetensors(file))
    if file.suffix in PICKLED:
        return _floats(_read_pickled(file))
    raise ConfigError(f"encoder_weights {file}: its name must end with .safetensors, {' or '.join(PICKLED)}")


def weights_provenance(path: str) -> dict[str, Any]:
    """Return where a file of weights says that it comes from; nothing unless this project has trained it."""
    file = Path(path).expanduser()
    if file.suffix != ".safetensors":
        return {}
    try:
        with safe_open(file, framework="pt") as opened:
            found: Any = json.loads((opened.metadata() or {}).get("provenance", "{}"))
    except (OSError, SafetensorError, json.JSONDecodeError) as error:
        raise ConfigError(f"encoder_weights {file}: its provenance cannot be read: {error}") from None
    return found if isinstance(found, dict) else {}


def _download(name: str) -> Mapping[str, Tensor]:
    if name.startswith(TIMM):
        timms: Mapping[str, Tensor] = timm_networks().downloaded(name)
        return timms
    try:
        choices = get_model_weights(name)
    except ValueError:
        raise ConfigError(
            f"torchvision has no weights for {name}; encoder_weights must name a file, or be 'random'"
        ) from None
    try:
        weights: Mapping[str, Tensor] = choices.DEFAULT.get_state_dict(progress=True, check_hash=True)
    except (OSError, RuntimeError) as error:  # no network; a file that is not what its name says
        raise ConfigError(
            f"torchvision's weights for {name} cannot be downloaded: {error}; "
            "encoder_weights may name a file, or be 'random'"
        ) from None
    return weights


def _read_safetensors(file: Path) -> dict[str, Tensor]:
    try:
        return load_file(file)
    except (OSError, SafetensorError) as error:
        why = "it looks like a PyTorch pickle; name it .pth, so that its tensors alone are read"
        if not looks_pickled(file):
            why = f"not a readable safetensors file: {error}"
        raise ConfigError(f"encoder_weights {file}: {why}") from None


def _read_pickled(file: Path) -> Mapping[str, Tensor]:
    try:
        content: Any = torch.load(file, weights_only=True, map_location="cpu")
    except OSError as error:
        raise ConfigError(f"encoder_weights {file}: not a readable file of weights: {error}") from None
    except Exception as error:  # damaged files make the reader raise whatever it stumbles over
        raise ConfigError(f"encoder_weights {file}: damaged, or it holds more than weights") from error
    if not isinstance(content, Mapping):
        raise ConfigError(f"encoder_weights {file}: must hold named tensors; it holds {_kind(content)}")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise ConfigError(f"encoder_weights {file}: must hold named tensors; under {name!r} it has {_kind(value)}")
    return content


def _kind(value: object) -> str:
    return f"a value of type {type(value).__name__}"


def _floats(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return plain float32 tensors: what follows reads their bytes, and half precision only saves room in a file."""
    values = {name: value.detach() for name, value in weights.items()}
    return {name: value.float() if value.is_floating_point() else value for name, value in values.items()}


def start_encoder(
    encoder: Encoder, name: str, weights: str, images: Sequence[CaptionedImage], config: ImageConfig
) -> Mapping[str, Tensor]:
    """Give a fresh encoder the weights that a recipe names, and return them.

    Args:
        encoder: What starts.
        name: Its name.
        weights: The recipe's ``encoder_weights``: a file; empty for torchvision's or timm's own; or "random", which
            keeps the weights that the encoder was made with and measures the statistics of its batch norms: with fresh
            ones, deep networks answer nearly the same to every photo.
        images: What is learnt from; "random" looks at up to 512 of these photos.
        config: How an image becomes pixels.

    Raises:
        ConfigError: If the weights cannot be read, downloaded or used.
        DataError: If a photo cannot be read; the message names it.
    """
    if weights == RANDOM:
        measure_norms(encoder, images, config)
        return {name: value.clone() for name, value in encoder.state_dict().items()}
    found = pretrained_weights(name, weights)
    encoder.load_pretrained(found)
    return found
