"""Images of Markdown (CommonMark with tables), found by markdown-it, and those of the HTML in it.

markdown-it tells the lines of a block, and the place of an image within the block's own text, which lacks the marks of
lists and quotes before each line. So each line of that text is looked for in its line of the file.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from captioner.alt.html import TAG, html_images
from captioner.alt.images import MARKDOWN, NOWHERE, ImageTag
from captioner.errors import ConfigError

_LINE = re.compile(r"\r\n?|\n")  # as markdown-it sees them
_BLANK = re.compile(r"!\[\s*\]")
Noted = tuple[str, str, int, Any]  # the block's text, the rule, the place in the text, the token


def markdown_images(text: str) -> list[ImageTag]:
    """Return the images of a Markdown text, those in code left out.

    Raises:
        ConfigError: If markdown-it is not installed.
    """
    parser, lines, environment = _parser(), _Lines(text), dict[str, Any]()
    images, in_table = list[ImageTag](), False
    for token in parser.parse(text, environment):
        in_table = token.type == "table_open" or (in_table and token.type != "table_close")
        if token.type == "html_block":
            images += _of_html(lines.block(token.content, token.map[0]), token.content, 0)
        elif token.type == "inline":
            block = lines.block(token.content, token.map[0], is_cell=in_table)
            for rule, start, found in _inline(parser, token.content, environment):
                images += (
                    _of_html(block, found.content, start) if rule == "html_inline" else [_image(block, found, start)]
                )
    return images


def _inline(parser: Any, content: str, environment: dict[str, Any]) -> Iterator[tuple[str, int, Any]]:
    """Yield the images and HTML tags of a block's text: the rule that found them, where, and the token."""
    noted = environment["noted"] = list[Noted]()
    parser.inline.parse(content, parser, environment, [])
    del environment["noted"]
    for source, rule, start, token in noted:
        if source == content:  # and not what is within an image's text
            yield rule, start, token


def _parser() -> Any:
    try:
        from markdown_it import MarkdownIt  # noqa: PLC0415 - an extra, which is not always there
        from markdown_it.rules_inline import html_inline, image  # noqa: PLC0415
    except ModuleNotFoundError:
        raise ConfigError(
            "Markdown is read by markdown-it-py, which is not installed; pip install 'captioner[alt]' installs it"
        ) from None
    parser = MarkdownIt("commonmark").enable("table")
    for rule in (image, html_inline):
        parser.inline.ruler.at(rule.__name__, _noting(rule))
    return parser


def _noting(rule: Callable[[Any, bool], bool]) -> Callable[[Any, bool], bool]:
    """Let a rule of inline text note where what it finds begins, if somebody listens."""

    def noting(state: Any, silent: bool) -> bool:
        start = state.pos
        done = rule(state, silent)
        if done and not silent and "noted" in state.env:
            state.env["noted"].append((state.src, rule.__name__, start, state.tokens[-1]))
        return done

    return noting


@dataclass(frozen=True)
class _Block:
    """The text of a block.

    Attributes:
        file: The text of the file.
        content: That of the block, without the marks of lists and quotes.
        first: Its first line in the file, from 0.
        shifts: For each of its lines what is to be added to a column for the place in the file, or ``None``.
    """

    file: str
    content: str
    first: int
    shifts: tuple[int | None, ...]

    def place(self, position: int) -> tuple[int, int]:
        """Return where a position of the block's text is in the file, and its line from 1."""
        before = self.content[:position].split("\n")
        shift = self.shifts[len(before) - 1]
        return (NOWHERE if shift is None else shift + len(before[-1])), self.first + len(before)


class _Lines:
    """The lines of a file, and where they begin."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._lines = _LINE.split(text)
        self._starts = [0, *(match.end() for match in _LINE.finditer(text))]
        self._row, self._column = NOWHERE, 0  # how far the cells of a table's row have been found

    def block(self, content: str, first: int, *, is_cell: bool = False) -> _Block:
        """Return a block whose text is known, and on which line it begins."""
        if is_cell and first != self._row:
            self._row, self._column = first, 0
        lines = enumerate(content.split("\n"), start=first)
        return _Block(
            self._text, content, first, tuple(self._shift(line, number, is_cell=is_cell) for number, line in lines)
        )

    def _shift(self, line: str, number: int, *, is_cell: bool) -> int | None:
        wanted, own = line.strip(), self._lines[number] if number < len(self._lines) else ""
        if is_cell:
            column = own.find(wanted, self._column)
            self._column = max(self._column, column + len(wanted))
        else:  # its end is the line's, but for the closing marks of a heading
            ended = own.rstrip()
            column = len(ended) - len(wanted) if ended.endswith(wanted) else own.find(wanted)
        return None if column < 0 else self._starts[number] + column - (len(line) - len(line.lstrip()))


def _image(block: _Block, token: Any, start: int) -> ImageTag:
    place, line = block.place(start)
    blank = _BLANK.match(block.file, place) if place != NOWHERE else None
    alt = token.content if token.content.strip() else None
    begin, end = (blank.start() + 2, blank.end() - 1) if blank else (NOWHERE, NOWHERE)
    return ImageTag(token.attrs["src"], line, begin, end, alt, decorative=False, language=MARKDOWN)


def _of_html(block: _Block, html: str, start: int) -> Iterator[ImageTag]:
    for image in html_images(html):
        place, line = block.place(start + image.place)
        if block.file[place - len(TAG) : place].lower() != TAG:
            place = NOWHERE
        yield replace(image, line=line, place=place, end=place)
