"""The HTTP interface for programs: captions of photos, the score of a text, the model, and health."""

import time

from flask import Blueprint, Response, jsonify, request

from service.inference.engine import Engine
from service.inference.jobs import Asking, Captioning, Scoring
from service.inference.pipeline import CaptionPipeline
from service.settings import Settings
from service.web import parameters, responses
from service.web.fetching import Fetcher
from service.web.requests import read_upload


def create_api(pipeline: CaptionPipeline, engine: Engine, fetcher: Fetcher, settings: Settings) -> Blueprint:
    """Return the routes, bound to a model."""
    api = Blueprint("api", __name__)
    allowance = parameters.Allowance(settings.options(), settings.max_words)

    @api.post("/v1/captions")
    def make_captions() -> Response:
        start = time.perf_counter()
        upload = read_upload(request, settings.max_images)
        task = Captioning(*parameters.read_caption_options(upload.fields, allowance, max(1, len(upload.photos))))
        if len(upload.photos) > 1:
            return responses.answer_each(*pipeline.caption_each(upload.photos, task), start)
        return responses.answer_captions(pipeline.caption(fetcher.photo(upload), task), start)

    @api.post("/v1/scores")
    def score_text() -> Response:
        start = time.perf_counter()
        upload = read_upload(request)
        task = Scoring(*parameters.read_score_options(upload.fields))
        return responses.answer_score(pipeline.caption(fetcher.photo(upload), task), start)

    @api.post("/v1/answers")
    def answer_question() -> Response:
        start = time.perf_counter()
        upload = read_upload(request)
        task = Asking(*parameters.read_question(upload.fields))
        return responses.answer_question(pipeline.caption(fetcher.photo(upload), task), start)

    @api.get("/v1/model")
    def describe_model() -> Response:
        model = engine.model
        answer = jsonify(name=model.name, version=model.version, sha256=model.sha256 or None, **model.details)
        answer.add_etag()
        answer.headers["Cache-Control"] = "no-cache"
        answer.make_conditional(request)
        return answer

    @api.get("/livez")
    def tell_alive() -> Response:
        engine.check_alive()
        return jsonify(status="alive")

    @api.get("/readyz")
    def tell_ready() -> Response:
        return jsonify(status="ready", model=responses.model_payload(engine.check_ready().identity))

    responses.never_store(api)
    return api
