"""GET /v1/photos: photos of the operator's index by words, and their thumbnails, made when they are asked for.

A photo is asked for by its number in the index, never by a path; and what has left the folder that was indexed, be it
by a link, is not shown.
"""

import io
from dataclasses import asdict
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, jsonify, request
from PIL import Image
from werkzeug.exceptions import NotFound

from captioner.errors import ConfigError, OptionError
from captioner.images import DEFAULT_LIMITS, read_image
from captioner.index.database import Hit, PhotoIndex
from service.errors import NotReadyError
from service.web.kinds import Kind, free_text, whole_number
from service.web.parameters import read_values
from service.web.responses import CONFIDENCE_DECIMALS, never_store

MAX_QUERY, MOST, DEFAULT = 200, 100, 24
SIDE, QUALITY = 320, 80  # of a thumbnail
LAST = 2**63 - 1  # the greatest number that SQLite knows
SEARCH: dict[str, Kind] = {
    "q": free_text(1, MAX_QUERY, "words to look for"),
    "limit": whole_number(1, MOST, "most photos"),
}


def create_photos(path: Path) -> Blueprint:
    """Return the routes, bound to an index.

    Raises:
        ConfigError: If there is no index.
    """
    photos = Blueprint("photos", __name__)
    index = _open(path)

    @photos.get("/v1/photos")
    def find_photos() -> Response:
        values = read_values({name: request.args.getlist(name) for name in request.args}, SEARCH)
        if "q" not in values:
            raise OptionError("q is missing; it must have 1 to 200 characters")
        found = _find(index, values["q"], values.get("limit", DEFAULT))
        return jsonify(photos=[_payload(hit) for hit in found])

    @photos.get("/v1/photos/<int:number>/thumbnail")
    def show_thumbnail(number: int) -> Response:
        file = index.file(number) if number <= LAST else None
        if file is None:
            raise NotFound
        return Response(_thumbnail(file), mimetype="image/jpeg")

    never_store(photos)
    return photos


def _open(path: Path) -> PhotoIndex:
    try:
        return PhotoIndex(path)
    except OptionError as error:
        raise ConfigError(f"photo_index: {error}") from None


def _find(index: PhotoIndex, query: str, limit: int) -> list[Hit]:
    try:
        return index.find(query, limit)
    except OptionError:  # it is being replaced
        raise NotReadyError("the index of photos cannot be read at the moment") from None


def _payload(hit: Hit) -> dict[str, Any]:
    """Return a photo that was found; not where it is on the machine."""
    values = {name: value for name, value in asdict(hit).items() if name not in ("root", "path")}
    confidence = None if hit.confidence is None else round(hit.confidence, CONFIDENCE_DECIMALS)
    name = hit.path.encode("utf-8", "replace").decode()
    return {**values, "name": name, "confidence": confidence}


def _thumbnail(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            picture = read_image(opened.read(DEFAULT_LIMITS.max_bytes + 1))
    except OSError:
        raise NotFound from None
    picture.thumbnail((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=3.0)
    made = io.BytesIO()
    picture.save(made, "JPEG", quality=QUALITY)
    return made.getvalue()
