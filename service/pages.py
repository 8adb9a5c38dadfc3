"""The web page, and the files it is made of."""

from flask import Blueprint, Response, make_response, render_template

from service.settings import Settings


def create_pages(settings: Settings) -> Blueprint:
    """Return the route of the page; Flask itself serves ``/static/``."""
    pages = Blueprint("pages", __name__)

    @pages.get("/")
    def show_page() -> Response:
        page = make_response(render_template("index.html", max_upload_bytes=settings.max_upload_bytes))
        page.headers["Cache-Control"] = "no-cache"
        return page

    return pages
