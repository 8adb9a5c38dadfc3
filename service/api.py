"""The HTTP interface for programs: captions of an image, the score of a text, and whether the service lives."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from flask import Blueprint, Response, jsonify, request
from PIL.Image import Image

from captioner.images import DEFAULT_LIMITS, read_image
from service import options, payloads
from service.batching import Inference, InferenceThread, Predictor
from service.errors import request_id
from service.settings import Settings
from service.tracing import span


@dataclass(frozen=True)
class Work:
    """What one request had the model do.

    Attributes:
        image: The upright image.
        inference: What the model says of it.
        decode_seconds: How long the image took to decode.
    """

    image: Image
    inference: Inference
    decode_seconds: float


def create_api(predictor: Predictor, settings: Settings) -> Blueprint:
    """Return the routes, bound to a model."""
    api = Blueprint("api", __name__)
    inference = InferenceThread(predictor, settings.max_waiting)
    limits = replace(DEFAULT_LIMITS, max_bytes=settings.max_upload_bytes)
    model = {"name": predictor.info.name, "version": predictor.info.version}

    def infer(data: bytes, call: Callable[[Image], Inference]) -> Work:
        with inference.place():
            start = time.perf_counter()
            with span("decode"):
                image = read_image(data, limits)
            decode_seconds = time.perf_counter() - start
            with span("inference"):
                return Work(image, call(image), decode_seconds)

    @api.post("/v1/captions")
    def make_captions() -> Response:
        start = time.perf_counter()
        data = payloads.read_upload(request)
        search, activations = options.read_caption_options(request, settings.options())
        work = infer(data, lambda image: inference.captions(image, search, activations=activations))
        captions = [payloads.caption_payload(caption) for caption in work.inference.captions]
        return _answer(model, work, start, captions=captions)

    @api.post("/v1/scores")
    def score_text() -> Response:
        start = time.perf_counter()
        data = payloads.read_upload(request)
        text, activations = options.read_score_options(request)
        work = infer(data, lambda image: inference.score(image, text, activations=activations))
        [caption] = work.inference.captions
        return _answer(model, work, start, score=payloads.score_payload(caption))

    @api.get("/livez")
    def tell_alive() -> Response:
        return jsonify(status="alive")

    @api.get("/readyz")
    def tell_ready() -> Response:
        return jsonify(status="ready", model=model)

    @api.after_request
    def forbid_storing(response: Response) -> Response:
        response.headers["Cache-Control"] = "no-store"
        return response

    return api


def _answer(model: dict[str, str], work: Work, start: float, **result: Any) -> Response:
    return jsonify(
        id=request_id(),
        model=model,
        image=payloads.image_payload(work.image),
        **result,
        attention_grid=payloads.attention_grid(work.inference.captions),
        timing_ms={
            "decode": _milliseconds(work.decode_seconds),
            "inference": _milliseconds(work.inference.seconds),
            "total": _milliseconds(time.perf_counter() - start),
        },
    )


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 1)
