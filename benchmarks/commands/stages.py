"""Time each stage from a photo's bytes to its caption.

Every row is timed once in every round, one after the other. "of the encoder" is a row's time as a multiple of the
network that encodes one photo, taken round by round: the median, and the quartiles around it.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.models import add_model_arguments, describe, load_chosen, runtime_name
from benchmarks.photos import read_photos
from benchmarks.reference import load_torch, plain_beam_search
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
    files = read_photos(arguments.photos, BATCH)
    works = [*stages(predictor, files), *references(predictor, arguments.checkpoint, files, arguments.threads)]
    introduce(model=describe(predictor), rounds=arguments.rounds)
    times = in_turn(works, arguments.rounds)
    publish("stages", rows(times), TITLES, arguments.json, model=describe(predictor), rounds=arguments.rounds)
    return 0


def stages(predictor: CaptionPredictor, files: Sequence[bytes]) -> list[Work]:
    """Return the stages of a model, of one photo and of a batch."""
    images = [read_image(data) for data in files]
    one, several = images[0], (images * BATCH)[:BATCH]
    pixels, many = predictor.transform.batch([one]), predictor.transform.batch(several)
    alone, together = predictor.encode([one]), predictor.encode(several)
    options = {beams: DecodingOptions(beam_size=beams) for beams in BEAMS}
    caption = predictor.caption(one)
    return [
        Work("read: bytes to an upright image", lambda: [read_image(data) for data in files], len(files)),
        Work("preprocess: image to pixels", lambda: predictor.transform.batch([one])),
        Work(ENCODER, lambda: predictor.runtime.encode(pixels)),
        Work(f"{ENCODER}, batch of {BATCH}", lambda: predictor.runtime.encode(many), BATCH),
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


def inside(predictor: CaptionPredictor, features: Any, caption: Caption) -> list[Work]:
    """Return what is inside the way from features to a caption and can be done alone."""
    calibration, tokens = predictor.calibration, predictor.tokenizer.encode(caption.text)
    log_probs = [word.log_prob for word in caption.words]
    works = [Work(PREPARE, lambda: predictor.runtime.prepare(features))]
    if calibration is not None and log_probs:
        works.append(Work(CONFIDENCE, lambda: calibration.confidences(caption.words, tokens, log_probs)))
    return works


def references(
    predictor: CaptionPredictor, checkpoint: Path | None, files: Sequence[bytes], threads: int | None
) -> list[Work]:
    """Return what the model is measured against: a plain search in torch, and torch where something else computes."""
    by_torch, runtime = load_torch(checkpoint, threads=threads)
    five, special = DecodingOptions(beam_size=5), by_torch.tokenizer.special
    image = read_image(files[0])
    features = by_torch.encode([image])
    works = [Work("plain search by torch, beam 5", lambda: plain_beam_search(runtime.decoder, features, special, five))]
    if runtime_name(predictor) != "torch":
        pixels = by_torch.transform.batch([image])
        works.append(Work(f"{ENCODER}, by torch", lambda: runtime.encode(pixels)))
        works.append(Work("bytes to caption, beam 5, by torch", lambda: by_torch.caption(files[0], five)))
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
