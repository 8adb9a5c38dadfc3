"""``captioner watch CLIP``: what is to be seen in a moving picture, shot by shot."""

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from captioner.clips import Clip, Cue, Shot, WatchOptions, read_clip, webvtt
from captioner.clips.options import DEFAULT_CLIP_LIMITS
from captioner.clips.webvtt import REVIEWS
from captioner.commands.arguments import add_decoding, add_model, decoding_options, load_model, spelled
from captioner.commands.output import DONE, FAILED, caption_to_dict, complain, escaped, say, shown
from captioner.commands.photos import Source, read_bytes
from captioner.errors import ImageError, OptionError
from captioner.predictor import CaptionPredictor
from captioner.ranges import ranges_of
from captioner.types import Caption

HELP = {
    "max_shots": "most shots; of more, those are parted that differ most",
    "frames": "frames of a shot that are looked at together",
    "min_seconds": "how long a shot lasts at least",
}
EPILOG = """\
CLIP is an animated GIF, WebP or PNG; or, with pip install 'captioner[video]', an MP4 or WebM.

output: one line per shot: when it begins and ends, in seconds, and its caption, with tabs between.
With --json: one JSON object, in which the attention of a caption is [words, frames, rows, cols].
With --vtt, subtitles in WebVTT; the same file serves as spoken descriptions, <track kind="descriptions">.

The model learnt from single photos: it says what is to be seen in a shot, hardly what happens.
Slow fades are no cuts.

examples:
  captioner watch clip.gif
  captioner watch clip.mp4 --vtt --review omit > clip.vtt
"""


@dataclass(frozen=True)
class Seen:
    """A shot and its caption."""

    shot: Shot
    caption: Caption


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("clip", metavar="CLIP", type=Source.named, help="a file; - is standard input")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON, with confidence and attention")
    form.add_argument("--vtt", action="store_true", help="print subtitles as WebVTT")
    parser.add_argument(
        "--review",
        metavar="HOW",
        choices=REVIEWS,
        help='what becomes of captions that need review, with --vtt: keep; mark, which begins them with "(unsure)"; '
        "or omit (default: mark)",
    )
    for row in fields(WatchOptions):
        kind = int if isinstance(row.default, int) else float
        text = f"{HELP[row.name]} ({ranges_of(WatchOptions)[row.name]}; default: {row.default})"
        parser.add_argument(spelled(row.name), type=kind, metavar="S" if kind is float else "N", help=text)
    add_model(parser)
    add_decoding(parser, without={"num_captions"})


def run(arguments: Namespace) -> int:
    """Describe a clip; return the exit status."""
    if arguments.review and not arguments.vtt:
        raise OptionError("--review says what becomes of subtitles; it goes with --vtt")
    given = {row.name: getattr(arguments, row.name) for row in fields(WatchOptions)}
    watching = WatchOptions(**{name: value for name, value in given.items() if value is not None})
    options = decoding_options(arguments)
    try:
        data = read_bytes(arguments.clip, DEFAULT_CLIP_LIMITS.max_bytes + 1)
        predictor = load_model(arguments)
        clip = read_clip(data, watching, shrink=predictor.prepare)
    except ImageError as error:
        complain(f"{shown(arguments.clip)}: {error}")
        return FAILED
    seen = [Seen(shot, predictor.caption_frames(shot.frames, options)[0]) for shot in clip.shots]
    _print(arguments, predictor, clip, seen)
    return DONE


def _print(arguments: Namespace, predictor: CaptionPredictor, clip: Clip, seen: Sequence[Seen]) -> None:
    if arguments.json:
        say(_json(arguments.clip.path or Path("-"), predictor, clip, seen))
    elif arguments.vtt:
        cues = [Cue(one.shot.start, one.shot.end, one.caption.text, one.caption.needs_review) for one in seen]
        say(webvtt(cues, arguments.review or "mark").removesuffix("\n"))
    else:
        for one in seen:
            say(f"{one.shot.start:.3f}\t{one.shot.end:.3f}\t{escaped(one.caption.text)}")


def _json(path: Path, predictor: CaptionPredictor, clip: Clip, seen: Sequence[Seen]) -> str:
    values = {
        "path": str(path),
        "model": {"name": predictor.info.name, "version": predictor.info.version},
        "clip": {
            "width": clip.width,
            "height": clip.height,
            "format": clip.format,
            "seconds": clip.seconds,
            "frames": clip.count,
        },
        "shots": [
            {
                "start": one.shot.start,
                "end": one.shot.end,
                "frames": one.shot.times,
                "caption": caption_to_dict(one.caption),
            }
            for one in seen
        ],
    }
    return json.dumps(values)
