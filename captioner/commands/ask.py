"""``captioner ask PHOTO QUESTION...``: answers to questions about a photo."""

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from captioner.answers.answering import MAX_ANSWERS, Answers
from captioner.commands.arguments import add_model, load_model, local_file
from captioner.commands.output import ATTENTION_DIGITS, DONE, FAILED, complain, escaped, say
from captioner.commands.photos import BATCH_SIZE, Photo, Source, picture_files, read_photo
from captioner.heatmap import overlay
from captioner.predictor import CaptionPredictor

EPILOG = """\
output: one line per answer, the most probable first: the probability, a tab, the answer. Answers to several
questions come in their order, each after a line with the question. With --json: one JSON object.

The shipped network knows questions of four kinds: what or who something is, how many there are, what color it
has, and where it is. It answers with one of a few hundred words, whatever it is asked.

examples:
  captioner ask photo.jpg "how many dogs are there?"
  captioner ask photo.jpg "what color is the dog?" --num-answers 3 --heatmap looked.png
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("photo", metavar="PHOTO", type=Source.named, help="an image file; - is standard input")
    parser.add_argument("questions", metavar="QUESTION", nargs="+", help="a question in English")
    add_model(parser)
    parser.add_argument(
        "--answers", metavar="FILE", type=local_file, help="the network that answers; default: the shipped one"
    )
    parser.add_argument(
        "--num-answers", metavar="N", type=int, default=5, help=f"answers to each (1 to {MAX_ANSWERS}; default: 5)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON, with probabilities and attention")
    parser.add_argument(
        "--heatmap",
        metavar="OUT",
        help="draw where the network looked: for a single question in OUT.png; a name without an ending is a folder, "
        "which gets PHOTO-1.png for the first question, and so on",
    )


def run(arguments: Namespace) -> int:
    """Answer questions; return the exit status."""
    files = _heatmap_files(arguments)
    predictor = _load(arguments)
    photo = read_photo(arguments.photo, predictor.read)
    if photo is None:
        return FAILED
    found = _ask(predictor, photo, arguments)
    unknown = dict.fromkeys(word for one in found for word in one.unknown)
    if unknown:
        complain(f"not in the network's vocabulary: {escaped(', '.join(unknown))}")
    if arguments.json:
        say(_json(photo, found))
    for one in found if not arguments.json else ():
        say("\n".join(_lines(one, titled=len(found) > 1)))
    for file, one in zip(files, found, strict=False):
        if one.attention is None:
            complain("--heatmap: this network does not look at the photo, so it has no attention to draw")
            return FAILED
        overlay(photo.in_full(), one.attention).save(file)
    return DONE


def _heatmap_files(arguments: Namespace) -> list[Path]:
    if arguments.heatmap is None:
        return []
    names = [f"{arguments.photo.name}-{number}" for number in range(1, len(arguments.questions) + 1)]
    return picture_files("--heatmap", arguments.heatmap, names, [arguments.photo])


def _load(arguments: Namespace) -> CaptionPredictor:
    heatmap, arguments.heatmap = arguments.heatmap, None  # the captioner itself need not attend
    predictor = load_model(arguments)
    arguments.heatmap = heatmap
    predictor.load_answers(arguments.answers, arguments.checkpoint)
    return predictor


def _ask(predictor: CaptionPredictor, photo: Photo, arguments: Namespace) -> list[Answers]:
    found: list[Answers] = []
    for start in range(0, len(arguments.questions), BATCH_SIZE):
        batch: list[str] = arguments.questions[start : start + BATCH_SIZE]
        images: list[Image.Image] = [photo.image] * len(batch)
        found += predictor.answers(images, batch, arguments.num_answers)
    return found


def _lines(found: Answers, *, titled: bool) -> list[str]:
    title = [escaped(found.question)] if titled else []
    return title + [f"{answer.probability:.3f}\t{escaped(answer.text)}" for answer in found.answers]


def _json(photo: Photo, found: list[Answers]) -> str:
    values = {
        "path": str(photo.source),
        "image": {"width": photo.decoded.width, "height": photo.decoded.height, "format": photo.decoded.format},
        "questions": [_to_dict(one) for one in found],
    }
    return json.dumps(values)


def _to_dict(found: Answers) -> dict[str, Any]:
    maps = found.attention
    return {
        "question": found.question,
        "answers": [{"text": answer.text, "probability": round(answer.probability, 6)} for answer in found.answers],
        "attention": None if maps is None else np.round(maps.astype(np.float64), ATTENTION_DIGITS).tolist(),
        "unknown_words": list(found.unknown),
    }
