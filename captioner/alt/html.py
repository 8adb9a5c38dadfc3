"""Images of HTML, found by the standard library's parser, which tells where each tag begins."""

from html.parser import HTMLParser
from itertools import accumulate

from captioner.alt.images import HTML, ImageTag

NO_ROLE = ("presentation", "none")
NAMES = ("aria-label", "aria-labelledby")  # which say what an image is as well
TAG = "<img"


def html_images(text: str) -> list[ImageTag]:
    """Return the images of an HTML text, those in comments, scripts and styles left out."""
    parser = _Parser(text)
    parser.feed(text)
    parser.close()
    return parser.images


class _Parser(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.images: list[ImageTag] = []
        self._starts = [0, *accumulate(len(line) + 1 for line in text.split("\n"))]  # of each line

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            line, column = self.getpos()
            self.images.append(_image(dict(reversed(attrs)), line, self._starts[line - 1] + column + len(TAG)))


def _image(attributes: dict[str, str | None], line: int, place: int) -> ImageTag:
    alt = attributes.get("alt")
    if "alt" not in attributes:
        alt = next((value for name in NAMES if (value := attributes.get(name))), None)
    roles = (attributes.get("role") or "").lower().split()
    hidden = attributes.get("aria-hidden") == "true" or any(role in NO_ROLE for role in roles)
    decorative = hidden or ("alt" in attributes and not (alt or "").strip())
    return ImageTag(attributes.get("src") or "", line, place, place, alt, decorative, HTML)
