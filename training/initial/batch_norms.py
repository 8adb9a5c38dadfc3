"""Batch norms that were folded into the convolutions before them, made fit to learn."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from tqdm import tqdm

from captioner.config import ImageConfig
from captioner.encoders import Encoder
from training.data import CaptionedImage
from training.inputs.photos import PlainPhotos

PHOTOS = 512  # that the statistics are measured on
BATCH = 16
LEAST_VARIANCE = 1e-3  # filters that hardly answer are not blown up to unit variance


@dataclass
class Moments:
    """The mean and the mean square of a norm's input, ``[C]`` each, over all that was added."""

    count: int
    mean: Tensor
    square: Tensor


def folded(encoder: Encoder) -> bool:
    """Tell whether all batch norms, of which there are some, claim inputs of mean 0 and variance 1.

    Deployed networks are stored so, each norm's statistics multiplied into the weights before it. They work as long as
    no norm follows its batches: in training mode it would take out the true mean and variance for a second time.
    """
    norms = [module for module in encoder.modules() if isinstance(module, nn.BatchNorm2d)]
    statistics = [(norm.running_mean, norm.running_var) for norm in norms]
    return bool(norms) and all(
        mean is not None and variance is not None and not mean.any() and bool((variance == 1).all())
        for mean, variance in statistics
    )


def make_norms_fit(encoder: Encoder, images: Sequence[CaptionedImage], config: ImageConfig) -> None:
    """Restore the norms of an encoder that is about to learn with norms that follow their batches, if it is folded.

    Args:
        encoder: What will learn.
        images: What it will learn from; up to 512 of these photos are looked at.
        config: How an image becomes pixels.

    Raises:
        DataError: If a photo cannot be read; the message names it.
    """
    if folded(encoder):
        restore_norms(encoder, _typical_photos(images, config))


@torch.no_grad()
def measure_norms(encoder: Encoder, images: Sequence[CaptionedImage], config: ImageConfig) -> None:
    """Give the batch norms of an encoder with random weights the statistics of photos.

    Args:
        encoder: What will be frozen or learn.
        images: What will be learnt from; up to 512 of these photos are looked at.
        config: How an image becomes pixels.

    Raises:
        DataError: If a photo cannot be read; the message names it.
    """
    norms = [module for module in encoder.modules() if isinstance(module, nn.BatchNorm2d)]
    if not norms:
        return
    momenta, training = [norm.momentum for norm in norms], encoder.training
    encoder.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over batches
        norm.train()
    for pixels in _typical_photos(images, config):
        encoder(pixels if len(pixels) > 1 else pixels.repeat(2, 1, 1, 1))  # one cell alone would have no variance
    encoder.train(training)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def _typical_photos(images: Sequence[CaptionedImage], config: ImageConfig) -> Iterator[Tensor]:
    """Return up to 512 photos, from all over the set, as batches of pixels under a progress bar."""
    photos = PlainPhotos([image.path for image in images[:: -(-len(images) // PHOTOS)]], config)
    starts = tqdm(range(0, len(photos.paths), BATCH), desc="measuring batch norms", unit="batch")
    return (photos.pixels(start, start + BATCH) for start in starts)


@torch.no_grad()
def restore_norms(encoder: Encoder, batches: Iterable[Tensor]) -> None:
    """Give batch norms the statistics of their inputs back; what the encoder computes stays the same to rounding.

    Each filter is scaled to answers of unit variance, and its norm undoes that. A norm that follows its batches then
    changes little, and all layers learn at one pace.

    Args:
        encoder: Whose norms are :func:`folded`.
        batches: Normalised pixels ``[B, 3, H, W]`` of typical photos.
    """
    moments: dict[nn.BatchNorm2d, Moments] = {}
    pairs = _pairs(encoder)
    hooks = [norm.register_forward_pre_hook(partial(_note, moments)) for _, norm in pairs]
    training = encoder.training
    encoder.eval()
    try:
        for pixels in batches:
            encoder(pixels)
    finally:
        for hook in hooks:
            hook.remove()
        encoder.train(training)
    for convolution, norm in pairs:
        _restore(convolution, norm, moments[norm])


def _pairs(encoder: Encoder) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """Return every batch norm with the convolution that it follows; all of torchvision's are listed in that order."""
    pairs, last = list[tuple[nn.Conv2d, nn.BatchNorm2d]](), None
    for module in encoder.modules():
        if isinstance(module, nn.Conv2d):
            last = module
        elif isinstance(module, nn.BatchNorm2d) and last is not None:
            pairs.append((last, module))
    return pairs


def _note(moments: dict[nn.BatchNorm2d, Moments], norm: nn.Module, inputs: tuple[Tensor]) -> None:
    maps, axes = inputs[0], (0, 2, 3)
    if not isinstance(norm, nn.BatchNorm2d):
        raise TypeError(f"a hook of batch norms was called by {type(norm).__name__}")
    zero = maps.new_zeros(maps.shape[1], dtype=torch.double)
    known = moments.setdefault(norm, Moments(0, zero, zero.clone()))
    count = known.count + len(maps)
    known.mean += (maps.mean(axes).double() - known.mean) * len(maps) / count
    known.square += (maps.square().mean(axes).double() - known.square) * len(maps) / count
    known.count = count


def _restore(convolution: nn.Conv2d, norm: nn.BatchNorm2d, moments: Moments) -> None:
    """Let a convolution and its norm ``g x + b`` compute the same with the norm's input at mean m, variance v."""
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError("the batch norm keeps no statistics")
    variance = (moments.square - moments.mean.square()).clamp_min(0)
    spread = variance.clamp_min(LEAST_VARIANCE).sqrt()
    gain = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    offset = norm.bias.double() + gain * (moments.mean - norm.running_mean.double())
    convolution.weight.div_(spread[:, None, None, None])
    if convolution.bias is not None:
        convolution.bias.div_(spread)
    norm.running_mean.copy_(moments.mean / spread)
    norm.running_var.copy_(variance / spread.square())
    norm.weight.copy_(gain * spread * (norm.running_var.double() + norm.eps).sqrt())
    norm.bias.copy_(offset)
