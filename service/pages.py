"""The web page, and the files it is made of."""

from flask import Blueprint, Response, make_response, render_template

from captioner.decoding import MAX_LENGTH
from service.options import MAX_BEGINNING, MAX_TEXT
from service.settings import Settings


def create_pages(settings: Settings) -> Blueprint:
    """Return the route of the page; Flask itself serves ``/static/``."""
    pages = Blueprint("pages", __name__)
    limits = {
        "max_upload_bytes": settings.max_upload_bytes,
        "max_length": settings.max_length,
        "most_length": MAX_LENGTH,
        "max_beginning": MAX_BEGINNING,
        "max_text": MAX_TEXT,
    }

    @pages.get("/")
    def show_page() -> Response:
        page = make_response(render_template("index.html", **limits))
        page.headers["Cache-Control"] = "no-cache"
        return page

    return pages
