"""POST /v1/heatmaps: attention over a photo, as a PNG."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

from flask import Blueprint, Response, request
from PIL.Image import Image, Resampling

from captioner.errors import OptionError
from captioner.heatmap import contact_sheet, overlay, tile_picture
from captioner.types import Caption
from service.inference.jobs import Captioning
from service.inference.pipeline import CaptionPipeline
from service.settings import Settings
from service.web.fetching import Fetcher
from service.web.parameters import HEATMAPS, Allowance, allowed_options, read_values
from service.web.requests import read_upload
from service.web.responses import never_store

ONE_WORD, SHEET = {"size": 1024}, {"columns": 4, "tile": 320}  # what belongs to which picture, and its defaults
DEFAULTS: Mapping[str, float] = {"caption": 0, "opacity": 0.6, **ONE_WORD, **SHEET}
MAX_SHEET = 24_000_000  # pixels of all tiles, if they were square


def create_heatmaps(pipeline: CaptionPipeline, fetcher: Fetcher, settings: Settings) -> Blueprint:
    """Return the route, bound to a model."""
    heatmaps = Blueprint("heatmaps", __name__)
    allowance = Allowance(settings.options(), settings.max_words)

    @heatmaps.post("/v1/heatmaps")
    def draw_heatmap() -> Response:
        upload = read_upload(request)
        drawn, asked = _split(read_values(upload.fields, HEATMAPS))
        options = allowed_options(asked, allowance)
        _check(drawn, options.num_captions, options.max_length)
        which = drawn.pop("caption", 0)

        def paint(image: Image, captions: Sequence[Caption]) -> bytes:
            return _draw(image, _chosen(captions, which), **drawn)

        png = pipeline.draw(fetcher.photo(upload), Captioning(options), lambda image: _fit(image, drawn), paint)
        return Response(png, mimetype="image/png")

    never_store(heatmaps)
    return heatmaps


def _split(values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what concerns the picture, and what concerns the search."""
    names = {"word", *DEFAULTS}
    drawn = {name: value for name, value in values.items() if name in names}
    return drawn, {name: value for name, value in values.items() if name not in names}


def _check(drawn: Mapping[str, Any], num_captions: int, max_length: int) -> None:
    """Refuse what cannot be drawn before the model works for it."""
    for name in SHEET if "word" in drawn else ONE_WORD:
        if name in drawn:
            where = "without word, when all words are drawn" if "word" in drawn else "with word"
            raise OptionError(f"{name} is {drawn[name]}; it may only be given {where}")
    if drawn.get("caption", 0) >= num_captions:
        raise OptionError(
            f"caption is {drawn['caption']}; with num_captions {num_captions} it must be at most {num_captions - 1}"
        )
    tile = drawn.get("tile", SHEET["tile"])
    if "word" not in drawn and (max_length + 1) * tile**2 > MAX_SHEET:
        most = int((MAX_SHEET / (max_length + 1)) ** 0.5)
        raise OptionError(f"tile is {tile}; with max_length {max_length} it must be at most {most}")


def _chosen(captions: Sequence[Caption], index: int) -> Caption:
    if index >= len(captions):  # the vocabulary or the options leave room for no more
        raise OptionError(f"caption is {index}; the model found {len(captions)}, counted from 0")
    return captions[index]


def _fit(image: Image, drawn: Mapping[str, Any]) -> Image:
    """Return a photo in the size in which it is drawn."""
    if "word" not in drawn:
        return image.resize(tile_picture(image.size, drawn.get("tile", SHEET["tile"])), Resampling.LANCZOS)
    scale = min(1.0, drawn.get("size", ONE_WORD["size"]) / max(image.size))
    return image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))), Resampling.LANCZOS)


def _draw(
    image: Image,
    caption: Caption,
    word: int | None = None,
    opacity: float = DEFAULTS["opacity"],
    size: int = 0,  # noqa: ARG001 - in which the image comes already
    **sheet: int,
) -> bytes:
    if word is None:
        return _png(contact_sheet(image, caption, opacity=opacity, **(SHEET | sheet)))
    if caption.attention is None:
        raise OptionError("the caption has no attention to draw; its model does not attend")
    if word >= len(caption.words):
        raise OptionError(
            f"word is {word}; the caption {caption.text!r} has {len(caption.words)} words, counted from 0"
        )
    return _png(overlay(image, caption.attention[word], opacity=opacity))


def _png(picture: Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=1)
    return file.getvalue()
