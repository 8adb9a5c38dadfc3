"""XML read to be edited in place: elements and attributes with where they stand, so that the rest stays as it is.

A document with a DTD is refused, and with it entities, their expansion, and what would be read from elsewhere.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from xml.parsers import expat

from captioner.errors import MetadataError

XML = "http://www.w3.org/XML/1998/namespace"
MAX_DEPTH = 64
Name = tuple[str, str]  # namespace and local name
Edit = tuple[int, int, bytes]  # from, to, and what stands there instead
_TAG = re.compile(rb"""<(?:[^"'>]|"[^"]*"|'[^']*')*>""")
_ATTRIBUTE = re.compile(rb"""\s+[^\s=/>"']+\s*=\s*(?:"[^"]*"|'[^']*')""")


@dataclass(frozen=True)
class Attribute:
    """An attribute; ``start`` is where the space before it begins, all in bytes."""

    name: Name
    value: str
    start: int
    end: int


@dataclass
class Element:
    """An element and where it stands, in bytes.

    Attributes:
        name: Its namespace and local name.
        tag: Its name as it is written, with a prefix.
        scope: Namespaces by prefix.
        attributes: Its attributes, without those that declare namespaces.
        start: Where its first tag begins.
        inside: Where its first tag ends.
        close: Where its last tag begins; of an empty element's only tag, where that ends.
        end: Where its last tag ends.
        children: The elements in it.
        text: The text in it, without that of its children.
    """

    name: Name
    tag: str
    scope: Mapping[str, str]
    attributes: tuple[Attribute, ...]
    start: int
    inside: int
    close: int = 0
    end: int = 0
    children: list["Element"] = field(default_factory=list)
    text: str = ""

    def get(self, name: Name) -> str | None:
        """Return the value of an attribute."""
        return next((one.value for one in self.attributes if one.name == name), None)

    def walk(self) -> Iterator["Element"]:
        """Yield this element and all in it."""
        yield self
        for child in self.children:
            yield from child.walk()


def parse(data: bytes) -> Element:
    """Return the root of a document in UTF-8.

    Raises:
        MetadataError: If it is not well formed, in another encoding, nested too deeply, or has a DTD.
    """
    reader = _Reader(data)
    try:
        data.decode("utf-8")
        return reader.read()
    except UnicodeDecodeError:
        raise MetadataError("its XMP is not in UTF-8, which alone is edited") from None
    except (expat.ExpatError, LookupError) as error:
        raise MetadataError(f"its XMP is damaged: {error}") from None


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._open: list[Element] = []
        self._root: Element | None = None

    def read(self) -> Element:
        self._parser = expat.ParserCreate("utf-8")
        self._parser.ordered_attributes = True
        self._parser.buffer_text = True
        self._parser.StartDoctypeDeclHandler = _refuse
        self._parser.StartElementHandler = self._begin
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text
        self._parser.Parse(self._data, True)
        if self._root is None:
            raise MetadataError("its XMP is empty")
        return self._root

    def _begin(self, tag: str, pairs: list[str]) -> None:
        start = self._parser.CurrentByteIndex
        found = _TAG.match(self._data, start)
        if found is None or len(self._open) >= MAX_DEPTH:
            raise MetadataError(f"its XMP is nested more than {MAX_DEPTH} deep, which is what is allowed")
        given = dict(zip(pairs[::2], pairs[1::2], strict=True))
        outer = self._open[-1].scope if self._open else {"xml": XML}
        declared = {name[6:]: value for name, value in given.items() if name == "xmlns" or name.startswith("xmlns:")}
        scope = {**outer, **declared} if declared else outer
        attributes = _attributes(given, scope, found[0], start)
        element = Element(_expanded(tag, scope, scope.get("", "")), tag, scope, attributes, start, found.end())
        if self._open:
            self._open[-1].children.append(element)
        self._root = self._root or element
        self._open.append(element)

    def _end(self, _: str) -> None:
        element = self._open.pop()
        if self._data[element.inside - 2 : element.inside] == b"/>":
            element.close = element.end = element.inside
        else:
            element.close = self._parser.CurrentByteIndex
            element.end = self._data.index(b">", element.close) + 1

    def _text(self, text: str) -> None:
        self._open[-1].text += text


def _refuse(*_: object) -> None:
    raise MetadataError("its XMP has a DOCTYPE, which XMP never has, and is not read")


def _expanded(tag: str, scope: Mapping[str, str], default: str = "") -> Name:
    prefix, colon, local = tag.rpartition(":")
    return (scope.get(prefix, ""), local) if colon else (default, local)


def _attributes(given: Mapping[str, str], scope: Mapping[str, str], tag: bytes, start: int) -> tuple[Attribute, ...]:
    places = [(start + place.start(), start + place.end()) for place in _ATTRIBUTE.finditer(tag)]
    return tuple(
        Attribute(_expanded(name, scope), value, *place)
        for (name, value), place in zip(given.items(), places, strict=True)
        if name != "xmlns" and not name.startswith("xmlns:")
    )


def edited(data: bytes, edits: Iterable[Edit]) -> bytes:
    """Return a document with some places changed that do not overlap."""
    for start, end, new in sorted(edits, reverse=True):
        data = data[:start] + new + data[end:]
    return data
