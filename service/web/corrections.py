"""The routes by which people correct captions; they are there only if the operator wants corrections."""

from flask import Blueprint, Response, jsonify, request

from service.corrections import CorrectionStore, encode_photo, fit_photo
from service.errors import request_id
from service.inference.pipeline import CaptionPipeline
from service.web.fetching import Fetcher
from service.web.parameters import read_correction
from service.web.requests import read_upload
from service.web.responses import never_store


def create_corrections(pipeline: CaptionPipeline, fetcher: Fetcher, store: CorrectionStore) -> Blueprint:
    """Return the routes, bound to a folder."""
    corrections = Blueprint("corrections", __name__)

    @corrections.post("/v1/corrections")
    def keep_correction() -> Response:
        upload = read_upload(request)
        text = read_correction(upload.fields)
        photo = fetcher.photo(upload)
        kept = store.add(photo, pipeline.redraw(photo, fit_photo, encode_photo), text)
        return jsonify(id=request_id(), correction={"id": kept.id, "text": text, "new": kept.is_new})

    @corrections.delete("/v1/corrections/<correction>")
    def delete_correction(correction: str) -> Response:
        store.delete(correction)
        return Response(status=204)

    never_store(corrections)
    return corrections
