"""Train every encoder x decoder x cell for 50 steps on real photos, and time it; prints docs/results.md's table.

Encoders whose torchvision weights lie in the weights folder as NAME.safetensors start from them; the others are
random, their batch norms calibrated on the photos. Either way only the decoder learns.
"""

import itertools
import statistics
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn
from tqdm import tqdm

from captioner.cells import CELLS
from captioner.checkpoint import Checkpoint
from captioner.config import DecoderConfig, EncoderConfig, ModelConfig
from captioner.decoders import DECODERS
from captioner.decoding import DecodingOptions
from captioner.encoders import ENCODERS, Encoder
from captioner.images import ImageTransform, read_image
from captioner.model import CaptionModel
from captioner.predictor import CaptionPredictor
from captioner.tokenizers import WordTokenizer
from captioner.types import Features
from training.captioning.batches import Batch, CaptionBatches
from training.data import CaptionedImage, load_captioned_images
from training.inputs.features import CachedFeatures
from training.inputs.sources import FeatureSource
from training.losses import cross_entropy

EPILOG = __doc__
PHOTOS, BATCH, STEPS, SHOWN, TIMED = 160, 8, 50, 10, 7
TEN_WORDS = DecodingOptions(min_length=10, max_length=10)  # so that every model takes as many steps
IMAGENET = {"mobilenet_v2": "same"}  # the padding that pretrained weights from TensorFlow know


@dataclass(frozen=True)
class Row:
    """One model of the family and what it did."""

    encoder: str
    decoder: str
    cell: str
    parameters: int
    first: float
    last: float
    encode: float
    search: float

    def __str__(self) -> str:
        size = 2 * self.parameters / 1e6
        return (
            f"| {self.encoder} | {self.decoder} | {self.cell} | {self.parameters / 1e6:.1f} | {size:.0f} | "
            f"{self.first:.2f} | {self.last:.2f} | {self.encode:.0f} | {self.search:.0f} |"
        )


def pretrained(name: str, weights: Path) -> Path | None:
    """Return the file of an encoder's weights, if there is one."""
    path = weights / f"{name}.safetensors"
    return path if path.is_file() else None


def calibrate(encoder: nn.Module, pixels: torch.Tensor) -> None:
    """Give the batch norms of a random encoder the statistics of photos; with fresh ones, features would fade."""
    norms = [module for module in encoder.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    encoder.train()
    with torch.no_grad():
        encoder(pixels)
    encoder.eval()


def seen_by(name: str, weights: Path, outputs: str, photos: Sequence[Image.Image]) -> tuple[Encoder, CachedFeatures]:
    """Return an encoder and what it makes of the photos."""
    torch.manual_seed(1)
    file = pretrained(name, weights)
    padding = IMAGENET.get(name, "symmetric") if file else "symmetric"
    encoder = ENCODERS[name](EncoderConfig(name, padding, outputs)).eval()  # type: ignore[arg-type]
    transform = ImageTransform(ModelConfig().image)
    if file:
        encoder.load_pretrained(load_file(file))
    else:
        calibrate(encoder, torch.from_numpy(transform.batch(photos[:16])))
    with torch.inference_mode():
        batches = [
            encoder(torch.from_numpy(transform.batch(photos[i : i + BATCH]))) for i in range(0, len(photos), BATCH)
        ]
    vector = np.concatenate([batch.vector.numpy() for batch in batches]).astype(np.float16)
    grids = [batch.grid.numpy() for batch in batches if batch.grid is not None]
    grid = np.concatenate(grids).astype(np.float16) if grids else None
    return encoder, CachedFeatures(vector, grid, batches[0].rows, batches[0].cols)


def learn(model: CaptionModel, batches: CaptionBatches, source: FeatureSource, pad_id: int, steps: int) -> list[float]:
    """Let the decoder learn for so many steps; return the losses."""
    decoder, losses = model.decoder.train(), []
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=1e-3)
    for step in range(steps):
        batch: Batch = batches.batch(source, *divmod(step, len(batches)))
        with torch.autocast("cpu", torch.bfloat16):
            memory = decoder.prepare(cast("Features", batch.features))
            state = decoder.begin(memory, len(batch.tokens) // len(batch.image_ids))
            logits = decoder.teacher_force(batch.tokens[:, :-1], memory, state).logits
        loss = cross_entropy(logits, batch.tokens[:, 1:], pad_id, label_smoothing=0.0)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(decoder.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    return losses


def timed(predictor: CaptionPredictor, photo: Image.Image) -> tuple[float, float]:
    """Return the median milliseconds of encoding one photo, and of searching ten words with five beams."""
    encode, search = [], []
    for _ in range(TIMED):
        start = time.perf_counter()
        features = predictor.encode([photo])
        middle = time.perf_counter()
        predictor.captions_of(features, TEN_WORDS)
        search.append(time.perf_counter() - middle)
        encode.append(middle - start)
    return 1000 * statistics.median(encode), 1000 * statistics.median(search)


def rows(images: Sequence[CaptionedImage], weights: Path, only: Sequence[str], steps: int) -> Iterator[Row]:
    """Yield every model of some encoders, after it has learnt."""
    photos = [read_image(image.path.read_bytes()) for image in images]
    tokenizer = WordTokenizer.learn((text for image in images for text in image.captions), min_count=2)
    for name, attends in itertools.product(only, (False, True)):
        outputs = ("grid" if name == "vgg16" else "both") if attends else "vector"
        encoder, features = seen_by(name, weights, outputs, photos)
        batches = CaptionBatches(images, tokenizer, size=BATCH, max_tokens=20, seed=1)
        for decoder, cell in itertools.product((d for d in DECODERS if DECODERS[d].attends == attends), CELLS):
            torch.manual_seed(1)
            config = ModelConfig(encoder=encoder.config, decoder=DecoderConfig(decoder, cell))
            model = CaptionModel(config, len(tokenizer))
            model.encoder = encoder
            losses = learn(model, batches, FeatureSource(features, None), tokenizer.pad_id, steps)
            milliseconds = timed(CaptionPredictor(Checkpoint(model, tokenizer)), photos[0])
            first, last = statistics.mean(losses[:SHOWN]), statistics.mean(losses[-SHOWN:])
            parameters = sum(parameter.numel() for parameter in model.parameters())
            yield Row(name, decoder, cell, parameters, first, last, *milliseconds)


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--annotations", type=Path, required=True, help="captions in COCO's format")
    parser.add_argument("--images", type=Path, required=True, help="folder of their photos")
    parser.add_argument("--weights", type=Path, default=Path("data"), help="folder of NAME.safetensors (default: data)")
    parser.add_argument("--encoders", nargs="*", default=list(ENCODERS), choices=list(ENCODERS), help="(default: all)")
    parser.add_argument("--photos", type=int, default=PHOTOS, help="to learn from (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=STEPS, help="of learning (default: %(default)s)")


def run(arguments: Namespace) -> int:
    """Train and time every model, and print a row for each."""
    images = load_captioned_images(arguments.annotations, arguments.images)[: arguments.photos]
    print("| encoder | decoder | cell | weights, M | size, MB | first loss | last loss | encode, ms | search, ms |")
    print("|" + "---|" * 9)
    total = len(arguments.encoders) * len(DECODERS) * len(CELLS)
    falling = 0
    found = rows(images, arguments.weights, arguments.encoders, arguments.steps)
    for row in tqdm(found, total=total, unit="model"):
        tqdm.write(str(row))
        falling += row.last < row.first
    print(f"\n{falling} of {total} models learnt: torch {torch.__version__}, {torch.get_num_threads()} threads")
    return 0
