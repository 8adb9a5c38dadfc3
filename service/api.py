"""The HTTP interface for programs: captions of an image, and whether the service lives."""

import time
from dataclasses import replace

from flask import Blueprint, Response, jsonify, request

from captioner.images import DEFAULT_LIMITS, read_image
from service import payloads
from service.batching import InferenceThread, Predictor
from service.errors import request_id
from service.settings import Settings


def create_api(predictor: Predictor, settings: Settings) -> Blueprint:
    """Return the routes, bound to a model."""
    api = Blueprint("api", __name__)
    inference = InferenceThread(predictor, settings.max_waiting)
    limits = replace(DEFAULT_LIMITS, max_bytes=settings.max_upload_bytes)
    model = {"name": predictor.info.name, "version": predictor.info.version}

    @api.post("/v1/captions")
    def make_captions() -> Response:
        start = time.perf_counter()
        data = payloads.read_upload(request)
        options = payloads.read_options(request, settings.options())
        with inference.place():
            decode_start = time.perf_counter()
            image = read_image(data, limits)
            decode_seconds = time.perf_counter() - decode_start
            result = inference.run(image, options)
        return jsonify(
            id=request_id(),
            model=model,
            image=payloads.image_payload(image),
            captions=[payloads.caption_payload(caption) for caption in result.captions],
            attention_grid=payloads.attention_grid(result.captions),
            timing_ms={
                "decode": _milliseconds(decode_seconds),
                "inference": _milliseconds(result.seconds),
                "total": _milliseconds(time.perf_counter() - start),
            },
        )

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


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 1)
