"""The web page, in the visitor's language, and the files it is made of."""

import json
from collections.abc import Mapping
from importlib.resources import files
from types import SimpleNamespace
from typing import Any

from flask import Blueprint, Response, current_app, jsonify, make_response, render_template, request

from captioner.decoding import MAX_BEAM_SIZE, MAX_LENGTH
from service.settings import Settings
from service.web.openapi import create_document
from service.web.openapi.document import servers
from service.web.parameters import MAX_BEGINNING, MAX_CORRECTION, MAX_TEXT
from service.web.photos import MAX_QUERY

LANGUAGES = {"en": "English", "ko": "한국어"}  # each named in itself, the one for all others first
SAMPLES = {  # width and height in pixels
    "dog": (640, 480),
    "horses": (640, 415),
    "kitten": (640, 480),
    "giraffes": (640, 427),
    "coffee": (600, 400),
    "astronaut": (512, 512),
}


def create_pages(settings: Settings) -> Blueprint:
    """Return the route of the page; Flask itself serves ``/static/``."""
    pages = Blueprint("pages", __name__)
    texts = {language: SimpleNamespace(**read_strings(language)) for language in LANGUAGES}  # a dict's own names win
    values: Mapping[str, Any] = {
        "languages": LANGUAGES,
        "samples": SAMPLES,
        "max_upload_bytes": settings.max_upload_bytes,
        "beam_size": settings.beam_size,
        "most_beams": MAX_BEAM_SIZE,
        "max_length": settings.max_length,
        "most_length": MAX_LENGTH,
        "max_beginning": MAX_BEGINNING,
        "max_text": MAX_TEXT,
        "max_query": MAX_QUERY if settings.photo_index is not None else 0,
        "max_correction": MAX_CORRECTION,
        "corrections": settings.corrections is not None,
    }

    @pages.get("/")
    def show_page() -> Response:
        language = request.accept_languages.best_match(LANGUAGES, default=next(iter(LANGUAGES)))
        page = make_response(render_template("index.html", language=language, text=texts[language], **values))
        page.headers["Cache-Control"] = "no-cache"
        page.headers["Content-Language"] = language
        page.headers["Vary"] = "Accept-Language"
        return page

    @pages.get("/favicon.ico")
    def show_icon() -> Response:
        """Answer browsers that ask for an icon where it was before pages could name one."""
        return current_app.send_static_file("icon.svg")

    return pages


def read_strings(language: str) -> dict[str, str]:
    """Return what the page says in a language: key -> text, the same table that its scripts read."""
    table = files("service").joinpath("static", "strings", f"{language}.json").read_text(encoding="utf-8")
    strings: dict[str, str] = json.loads(table)
    return strings


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
