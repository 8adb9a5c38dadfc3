"""The HTTP interface for programs: captions of an image, the score of a text, and whether the service lives."""

import time
from dataclasses import dataclass, replace
from typing import Any

from flask import Blueprint, Response, jsonify, request

from captioner.images import DEFAULT_LIMITS
from service import options, payloads
from service.engine import Engine
from service.errors import request_id
from service.settings import Settings
from service.work import Inference, Model, Photo


@dataclass(frozen=True)
class Work:
    """What one request had the model do.

    Attributes:
        photo: The photo.
        inference: What the model says of it.
        decode_seconds: How long the photo took to decode.
    """

    photo: Photo
    inference: Inference
    decode_seconds: float


def create_api(engine: Engine, settings: Settings) -> Blueprint:
    """Return the routes, bound to the model in an engine."""
    api = Blueprint("api", __name__)
    limits = replace(DEFAULT_LIMITS, max_bytes=settings.max_upload_bytes)

    @api.post("/v1/captions")
    def make_captions() -> Response:
        start = time.perf_counter()
        with engine.place() as deadline:
            data = payloads.read_upload(request)
            search, activations = options.read_caption_options(request, settings.options())
            photo, seconds = engine.read(data, limits, deadline=deadline)
            inference = engine.captions(photo, search, activations=activations, deadline=deadline)
        captions = [payloads.caption_payload(caption) for caption in inference.captions]
        return _answer(Work(photo, inference, seconds), start, captions=captions)

    @api.post("/v1/scores")
    def score_text() -> Response:
        start = time.perf_counter()
        with engine.place() as deadline:
            data = payloads.read_upload(request)
            text, activations = options.read_score_options(request)
            photo, seconds = engine.read(data, limits, deadline=deadline)
            inference = engine.score(photo, text, activations=activations, deadline=deadline)
        [caption] = inference.captions
        return _answer(Work(photo, inference, seconds), start, score=payloads.score_payload(caption))

    @api.get("/livez")
    def tell_alive() -> Response:
        engine.check_alive()
        return jsonify(status="alive")

    @api.get("/readyz")
    def tell_ready() -> Response:
        return jsonify(status="ready", model=_names(engine.check_ready()))

    @api.after_request
    def forbid_storing(response: Response) -> Response:
        response.headers["Cache-Control"] = "no-store"
        return response

    return api


def _answer(work: Work, start: float, **result: Any) -> Response:
    return jsonify(
        id=request_id(),
        model=_names(work.photo.model),
        image=payloads.image_payload(work.photo),
        **result,
        attention_grid=payloads.attention_grid(work.inference.captions),
        timing_ms={
            "decode": _milliseconds(work.decode_seconds),
            "inference": _milliseconds(work.inference.seconds),
            "total": _milliseconds(time.perf_counter() - start),
        },
    )


def _names(model: Model) -> dict[str, str]:
    return {"name": model.name, "version": model.version}


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 1)
