"""Time each stage from a photo's bytes to its caption.

Every row is timed once in every round, one after the other. "of the encoder" is a row's time as a multiple of the
network that encodes one photo, taken round by round: the median, and the quartiles around it.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from benchmarks.models import add_model_arguments, describe, knows_runtimes, load_chosen, load_torch
from benchmarks.photos import read_photos
from benchmarks.reference import plain_beam_search
from benchmarks.report import add_json_argument, introduce, publish
from benchmarks.timing import Times, Work, in_turn, ratio, summary, without
from captioner.decoding import DecodingOptions
from captioner.images import read_image
from captioner.predictor import CaptionPredictor
from captioner.types import Caption

EPILOG = __doc__
BATCH = 8
BEAMS = (1, 3, 5)
ENCODER, PREPARE, CONFIDENCE, REST = "encode: the network", "prepare the decoder", "confidence", "after the encoder"
TITLES = {
    "name": "stage, one photo unless a batch is named",
    "median_ms": "ms",
    "fastest_ms": "fastest",
    "p90_ms": "90% below",
    "ratio": "of the encoder",
}


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments."""
    add_model_arguments(parser)
    parser.add_argument("--photos", type=Path, metavar="FOLDER", help="JPEG files; default: photos made up")
    parser.add_argument("--rounds", type=int, default=30, help="how often each row is timed (default: %(default)s)")
    add_json_argument(parser)


def run(arguments: Namespace) -> int:
    """Time every stage and print the table."""
    predictor = load_chosen(arguments)
    beside = load_torch(arguments, predictor)
    files = read_photos(arguments.photos, BATCH)
    works = [*stages(predictor, files), *references(beside, files)]
    introduce(model=describe(predictor), runtime=arguments.runtime or "default", rounds=arguments.rounds)
    times = in_turn(works, arguments.rounds)
    publish("stages", rows(times), TITLES, arguments.json, model=describe(predictor), rounds=arguments.rounds)
    return 0


def stages(predictor: CaptionPredictor, files: Sequence[bytes]) -> list[Work]:
    """Return the stages of a model, of one photo and of a batch."""
    images = [read_image(data) for data in files]
    one, several = images[0], (images * BATCH)[:BATCH]
    alone, together = predictor.encode([one]), predictor.encode(several)
    options = {beams: DecodingOptions(beam_size=beams) for beams in BEAMS}
    caption = predictor.caption(one)
    return [
        Work("read: bytes to an upright image", lambda: [read_image(data) for data in files], len(files)),
        Work("preprocess: image to pixels", lambda: predictor.transform.batch([one])),
        Work(ENCODER, network(predictor, [one])),
        Work(f"{ENCODER}, batch of {BATCH}", network(predictor, several), BATCH),
        *inside(predictor, alone, caption),
        *(
            Work(f"{REST}, beam {beams}", lambda beams=beams: predictor.captions_of(alone, options[beams]))  # type: ignore[misc]
            for beams in BEAMS
        ),
        Work(f"{REST}, beam 5, batch of {BATCH}", lambda: predictor.captions_of(together, options[5]), BATCH),
        *(
            Work(f"bytes to caption, beam {beams}", lambda beams=beams: predictor.caption(files[0], options[beams]))  # type: ignore[misc]
            for beams in BEAMS
        ),
        Work(
            f"bytes to caption, beam 5, batch of {BATCH}",
            lambda: predictor.captions([read_image(data) for data in (list(files) * BATCH)[:BATCH]], options[5]),
            BATCH,
        ),
    ]


def network(predictor: CaptionPredictor, images: Sequence[Image.Image]) -> Any:
    """Return what runs the encoder alone, on pixels that are ready."""
    pixels = predictor.transform.batch(images)

    @torch.inference_mode()
    def encode() -> object:
        return predictor.model(pixels)

    return encode


def inside(predictor: CaptionPredictor, features: Any, caption: Caption) -> list[Work]:
    """Return what is inside the way from features to a caption and can be done alone."""
    decoder, calibration, tokenizer = predictor.model.decoder, predictor.calibration, predictor.tokenizer
    tokens = tokenizer.encode(caption.text)
    log_probs = [word.log_prob for word in caption.words]

    @torch.inference_mode()
    def prepare() -> object:
        return decoder.prepare(features)

    works = [Work(PREPARE, prepare)]
    if calibration is not None and log_probs:

        def confidence() -> object:
            mean = sum(log_probs) / len(log_probs)
            return calibration.words(caption.words, tokens, log_probs), calibration.caption(mean)

        works.append(Work(CONFIDENCE, confidence))
    return works


def references(predictor: CaptionPredictor, files: Sequence[bytes]) -> list[Work]:
    """Return what the model is measured against: a plain search, and torch where something else computes."""
    five = DecodingOptions(beam_size=5)
    decoder, special = predictor.model.decoder, predictor.tokenizer.special
    features = predictor.encode([read_image(files[0])])
    works = [Work("plain search, beam 5", lambda: plain_beam_search(decoder, features, special, five))]
    if knows_runtimes():
        works.append(Work("bytes to caption, beam 5, by torch", lambda: predictor.caption(files[0], five)))
    return works


def rows(times: Times) -> list[dict[str, Any]]:
    """Return a row per stage, and one for the search, which is the rest without what can be done alone."""
    found = dict(times)
    parts = [times[name] for name in (PREPARE, CONFIDENCE) if name in times]
    for beams in BEAMS:
        found[f"search, beam {beams}"] = without(times[f"{REST}, beam {beams}"], *parts)
    return [_row(name, values, times[ENCODER]) for name, values in found.items()]


def _row(name: str, values: Sequence[float], encoder: Sequence[float]) -> dict[str, Any]:
    share = ratio(values, encoder)
    quartiles = {"ratio_median": share.median, "ratio_low": share.low, "ratio_high": share.high}
    return {"name": name, **summary(values), "ratio": str(share), **quartiles}
