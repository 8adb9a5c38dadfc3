"""What chat completions and responses share: messages of parts, photos in them, and events."""

from collections.abc import Mapping, Sequence
from typing import Any

from flask import Response, current_app

from service.errors import BadUploadError
from service.settings import Settings
from service.web.adapters.prompting import Prompt, check_number, joined, latest, objects
from service.web.fetching import Fetcher
from service.web.requests import decode_base64

EVENTS = "text/event-stream"
LINKS = ("http:", "https:")


def read_prompt(messages: Sequence[Mapping[str, Any]], fetcher: Fetcher, settings: Settings) -> Prompt:
    """Return the words of the user's last message, and the photos of the last message that has any.

    Raises:
        BadUploadError: If a part or a photo cannot be read, or there are too many.
        FetchError: If the photo at a URL may not or cannot be fetched.
    """
    parts = [_parts(message.get("content")) for message in messages]
    of_user = [found for message, found in zip(messages, parts, strict=True) if message.get("role") == "user"]
    words = joined([part.get("text") for found in of_user[-1:] for part in found])
    places = latest([[_place(part) for part in found if _is_image(part)] for found in parts])
    check_number(places, settings)
    return Prompt(words, [_photo(place, fetcher) for place in places])


def _parts(content: object) -> list[dict[str, Any]]:
    """Return the parts of a message, whose content may be a text alone."""
    return [{"type": "text", "text": content}] if isinstance(content, str) else objects(content, "content")


def _is_image(part: Mapping[str, Any]) -> bool:
    return part.get("type") in ("image_url", "input_image")


def _place(part: Mapping[str, Any]) -> str:
    """Return where a photo is: a ``data:`` URI or a URL, which chat completions put into an object."""
    place = part.get("image_url")
    place = place.get("url") if isinstance(place, dict) else place
    if not isinstance(place, str):
        raise BadUploadError("image_url must be a data: URI such as data:image/jpeg;base64,/9j/4AAQ, or a URL")
    return place


def _photo(place: str, fetcher: Fetcher) -> bytes:
    if place[: max(map(len, LINKS))].lower().startswith(LINKS):
        return fetcher.fetch(place)
    return decode_base64(place, "image_url")


def send_events(events: Sequence[Mapping[str, Any] | str], *, named: bool = False) -> Response:
    """Answer server-sent events; they are sent as fast as they can be, since a search finds all words at once.

    Args:
        events: JSON values, or texts that are sent as they are.
        named: Whether each event is named by its type.
    """
    blocks = []
    for event in events:
        data = event if isinstance(event, str) else current_app.json.dumps(event)
        name = f"event: {event['type']}\n" if named and not isinstance(event, str) else ""
        blocks.append(f"{name}data: {data}\n\n".encode())
    return Response(blocks, mimetype=EVENTS)
