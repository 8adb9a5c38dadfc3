"""The reference: the OpenAPI document at ``/openapi.json``, and a page at ``/docs`` that shows it."""

from flask import Blueprint, Response, jsonify, make_response, render_template, request

from service.settings import Settings
from service.web.openapi import create_document
from service.web.openapi.document import servers


def create_reference(settings: Settings) -> Blueprint:
    """Return the routes."""
    reference = Blueprint("reference", __name__)
    document = create_document(settings)

    @reference.get("/openapi.json")
    def send_document() -> Response:
        answer = jsonify({**document, "servers": servers(request.script_root)})
        answer.add_etag()
        answer.make_conditional(request)
        return answer

    @reference.get("/docs")
    def show_reference() -> Response:
        return make_response(render_template("docs.html"))

    @reference.after_request
    def ask_again(response: Response) -> Response:
        response.headers["Cache-Control"] = "no-cache"
        return response

    return reference
