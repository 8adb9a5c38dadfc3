"""The routes of the operator's index of photos, which are there if one is named."""

from typing import Any

from service.web.openapi.operations import errors, get, json_answer
from service.web.openapi.schemas import NUMBER, TEXT, TRUTH, WHOLE, Schema, field, many, maybe, thing
from service.web.photos import DEFAULT, SEARCH

TAG = "Photos"
JPEG = {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}
FOUND = thing(
    {
        "photos": many(
            thing(
                {
                    "id": WHOLE,
                    "name": TEXT,
                    "caption": TEXT,
                    "description": TEXT,
                    "confidence": maybe(NUMBER),
                    "needs_review": maybe(TRUTH),
                }
            )
        )
    }
)
REFUSED = {422: "A parameter that does not fit.", 503: "The index cannot be read at the moment."}
UNSHOWN = {404: "There is no such photo.", 413: "It is too large.", 415: "It is no photo.", 422: "It is damaged."}


def photo_paths() -> dict[str, Any]:
    """Return the paths."""
    found = get(
        "findPhotos",
        "Find photos",
        "Those of the operator's index whose captions have all the words, or if there are none, some.",
        TAG,
        {"200": json_answer("The photos, best first.", FOUND), **errors(REFUSED, "Problem")},
    )
    found["get"]["parameters"] = [_parameter(name) for name in SEARCH]
    thumbnail = get(
        "showThumbnail",
        "A small picture of a photo that was found",
        "",
        TAG,
        {"200": {"description": "The picture.", "content": JPEG}, **errors(UNSHOWN, "Problem")},
    )
    thumbnail["get"]["parameters"] = [
        {"name": "number", "in": "path", "required": True, "schema": {**WHOLE, "minimum": 0}}
    ]
    return {"/v1/photos": found, "/v1/photos/{number}/thumbnail": thumbnail}


def _parameter(name: str) -> Schema:
    kind = SEARCH[name]
    return {
        "name": name,
        "in": "query",
        "required": name == "q",
        "description": kind.meaning,
        "schema": field(kind, DEFAULT if name == "limit" else None),
    }
