"""One photo of a report: its caption, what people wrote, and a heatmap for every word."""

import base64
import io
import math
from html import escape

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from captioner.heatmap import overlay
from captioner.images import read_image
from captioner.types import Caption, Word
from training.data import CaptionedImage

WIDTH, TILE = 360, 132  # pixels of the photo's and a heatmap's longer side
QUALITY = 78  # of JPEG


def photo_card(image: CaptionedImage, caption: Caption, cider: float) -> str:
    """Return a photo as HTML, its pictures inside.

    Args:
        image: The photo and its references.
        caption: The model's caption.
        cider: CIDEr times 100 of the caption.
    """
    photo = read_image(image.path.read_bytes())
    references = "".join(f"<li>{escape(text)}</li>" for text in image.captions)
    return f"""<figure class="photo">
<img src="{_data(_shrunk(photo, WIDTH))}" alt="photo {escape(image.path.name)}">
<figcaption class="words">
<p class="caption">{escape(caption.text)}</p>
<p class="facts">{_facts(image, caption, cider)}</p>
<ul class="references">{references}</ul>
</figcaption>
{_heatmaps(photo, caption)}</figure>"""


def _facts(image: CaptionedImage, caption: Caption, cider: float) -> str:
    facts = [f"CIDEr <b>{cider:.0f}</b>", escape(image.path.name)]
    if caption.confidence is not None:
        facts.insert(1, f"confidence {100 * caption.confidence:.0f} %")
    if caption.needs_review:
        facts.insert(2, '<span class="flag">needs review</span>')
    return " · ".join(facts)


def _heatmaps(photo: Image.Image, caption: Caption) -> str:
    """Return one tile per word, or nothing if the model does not attend."""
    if caption.attention is None:
        return ""
    small = _shrunk(photo, TILE)
    tiles = (_tile(small, word, weights) for word, weights in zip(caption.words, caption.attention, strict=True))
    return f'<ul class="heat">{"".join(tiles)}</ul>\n'


def _tile(photo: Image.Image, word: Word, weights: NDArray[np.float32]) -> str:
    sure = math.exp(min(word.log_prob, 0)) if word.confidence is None else word.confidence
    what = "probability" if word.confidence is None else "confidence"
    return (
        f'<li><img src="{_data(overlay(photo, weights))}" alt="where the model looked for {escape(word.text)}">'
        f'<span>{escape(word.text)} <i title="{what}">{100 * sure:.0f} %</i></span></li>'
    )


def _shrunk(photo: Image.Image, longest: int) -> Image.Image:
    small = photo.copy()
    small.thumbnail((longest, longest))
    return small


def _data(picture: Image.Image) -> str:
    """Return a picture as an address that holds it."""
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
