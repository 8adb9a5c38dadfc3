"""POST /v1/clips: what is to be seen in a moving picture, shot by shot, as JSON or as subtitles."""

import time
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, jsonify, request

from captioner.clips import Clip, Cue, Review, Shot, WatchOptions, webvtt
from captioner.decoding import DecodingOptions
from captioner.errors import OptionError
from captioner.types import Caption
from service.errors import request_id
from service.inference.pipeline import CaptionPipeline
from service.inference.watching import Watched
from service.settings import Settings
from service.web.fetching import Fetcher
from service.web.parameters import CLIP_DEFAULTS, CLIPS, NUM_SHOTS, Allowance, allowed_options, read_values
from service.web.requests import Fields, read_upload
from service.web.responses import attention_grid, caption_payload, milliseconds, model_payload, never_store, since

TIME_DECIMALS = 3  # of seconds


@dataclass(frozen=True)
class ClipRequest:
    """What is asked about a clip.

    Attributes:
        watching: How to part it into shots.
        options: How to search for their captions.
        format: How to answer: ``json`` or ``vtt``.
        review: What becomes of captions that need review, in WebVTT.
    """

    watching: WatchOptions
    options: DecodingOptions
    format: str
    review: Review


def _read_options(fields: Fields, allowance: Allowance) -> ClipRequest:
    """Return how to describe a clip, from a request's fields; shots count as photos do.

    Raises:
        OptionError: If a parameter is unknown, given twice, out of range, at odds with another, or asks for too much.
    """
    values = read_values(fields, CLIPS)
    asked = {name: value for name, value in values.items() if name not in CLIP_DEFAULTS}
    options = allowed_options(asked, allowance, values.get("max_shots", 1))
    beams = options.beam_size if options.search == "beam" else 1
    most = max(1, allowance.max_words // (beams * options.max_length))
    own = {**CLIP_DEFAULTS, "max_shots": min(NUM_SHOTS, most)} | values
    watching = WatchOptions(own["max_shots"], own["frames"], own["min_seconds"])
    if "review" in values and own["format"] != "vtt":
        raise OptionError("review is for subtitles; it may only be given with format vtt")
    return ClipRequest(watching, options, own["format"], own["review"])


def create_clips(pipeline: CaptionPipeline, fetcher: Fetcher, settings: Settings) -> Blueprint:
    """Return the route, bound to a model."""
    clips = Blueprint("clips", __name__)
    allowance = Allowance(settings.options(), settings.max_words)

    @clips.post("/v1/clips")
    def watch_clip() -> Response:
        start = time.perf_counter()
        upload = read_upload(request)
        asked = _read_options(upload.fields, allowance)
        watched = pipeline.watch(fetcher.photo(upload), asked.watching, asked.options)
        return _answer_subtitles(watched, asked.review) if asked.format == "vtt" else _answer_json(watched, start)

    never_store(clips)
    return clips


def _answer_json(watched: Watched, start: float) -> Response:
    """Answer the captions of a clip's shots; a word's weights are those of each frame, row by row from the top left."""
    clip = watched.clip
    return jsonify(
        id=request_id(),
        model=model_payload(watched.model),
        clip=_clip_payload(clip),
        shots=[_shot_payload(shot, caption) for shot, caption in zip(clip.shots, watched.captions, strict=True)],
        attention_grid=attention_grid(watched.captions),
        timing_ms={
            "decode": milliseconds(watched.seconds.decode),
            "inference": milliseconds(watched.seconds.inference),
            "total": since(start),
        },
    )


def _answer_subtitles(watched: Watched, review: Review) -> Response:
    """Answer the captions of a clip's shots as WebVTT."""
    cues = [
        Cue(shot.start, shot.end, caption.text, caption.needs_review)
        for shot, caption in zip(watched.clip.shots, watched.captions, strict=True)
    ]
    return Response(webvtt(cues, review), content_type="text/vtt; charset=utf-8")


def _clip_payload(clip: Clip) -> dict[str, Any]:
    seconds = round(clip.seconds, TIME_DECIMALS)
    size = {"width": clip.width, "height": clip.height}
    return {**size, "format": clip.format, "seconds": seconds, "frames": clip.count}


def _shot_payload(shot: Shot, caption: Caption) -> dict[str, Any]:
    return {
        "start": round(shot.start, TIME_DECIMALS),
        "end": round(shot.end, TIME_DECIMALS),
        "frames": [round(at, TIME_DECIMALS) for at in shot.times],
        "caption": caption_payload(caption),
    }
