"""IBM's MAX Image Caption Generator: ``POST /model/predict`` and ``GET /model/metadata``."""

import math

from flask import Blueprint, Response, jsonify, request

from captioner.errors import OptionError
from service.errors import translate_errors
from service.inference.engine import Engine
from service.inference.jobs import Captioning, Model
from service.inference.pipeline import CaptionPipeline
from service.settings import Settings
from service.web.parameters import Allowance, allowed_options
from service.web.requests import read_upload
from service.web.responses import never_store

UNSTATED = "not stated in the model's file; see the model card"
PREDICTIONS = 3  # as many as MAX gives


def licence_of(model: Model) -> str:
    """Return the terms of a model as its file tells them, or that it does not."""
    return str(model.details.get("provenance", {}).get("license") or UNSTATED)


def create_max(pipeline: CaptionPipeline, engine: Engine, settings: Settings) -> Blueprint:
    """Return the routes, bound to a model."""
    adapter = Blueprint("max", __name__)
    allowance = Allowance(settings.options(), settings.max_words)

    @adapter.post("/model/predict")
    def predict() -> Response:
        upload = read_upload(request)
        if upload.fields or not upload.photos:
            raise OptionError("there are no parameters but image; POST /v1/captions has more")
        task = Captioning(allowed_options({"num_captions": PREDICTIONS}, allowance))
        captions = pipeline.caption(upload.photos[0], task).captions
        predictions = [
            {"index": str(index), "caption": caption.text, "probability": math.exp(min(0.0, caption.log_prob))}
            for index, caption in enumerate(sorted(captions, key=lambda caption: -caption.log_prob))
        ]
        return jsonify(status="ok", predictions=predictions)

    @adapter.get("/model/metadata")
    def tell_metadata() -> Response:
        model = engine.model
        return jsonify(
            id=f"{model.name}-{model.version}",
            name=model.name,
            description="Describes a photo in a sentence.",
            type="Image-to-Text Translation",
            source="Captioner",
            license=licence_of(model),
        )

    translate_errors(adapter, lambda problem: {"status": "error", "message": problem["detail"]}, "/model")
    never_store(adapter)
    return adapter
