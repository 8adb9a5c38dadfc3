"""XMP packets (ISO 16684-1): the description in them, and a record of the model's, set and taken away in place.

Whatever else a packet holds stays as it is, byte for byte. What is added stands in an ``rdf:Description`` of its own,
unless there is a ``dc:description`` already, whose ``x-default`` is then set where it stands.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from xml.sax.saxutils import escape

from captioner import __version__
from captioner.errors import MetadataError
from captioner.metadata.record import Record
from captioner.metadata.source import XML, Attribute, Edit, Element, Name, edited, parse

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
DC = "http://purl.org/dc/elements/1.1/"
META = "adobe:ns:meta/"
OURS = "urn:captioner:xmp:1.0/"
NOTE = "http://ns.adobe.com/xmp/note/"
DESCRIPTION: Name = (DC, "description")
DEFAULT = "x-default"
TOOLKIT = "Captioner"
_EMPTY = f"""\
<?xpacket begin="\N{BYTE ORDER MARK}" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="{META}" x:xmptk="{TOOLKIT} {__version__}">
 <rdf:RDF xmlns:rdf="{RDF}">
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>
"""
_FORBIDDEN = re.compile("[^\\t\\n\\r\\x20-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")  # by XML 1.0
_REPLACED = {"xmp": "ReplacedXmp", "iptc": "ReplacedIptc", "exif": "ReplacedExif"}


class Packet:
    """An XMP packet, with or without its wrapper.

    Args:
        data: Its bytes; ``None`` is a new one.

    Attributes:
        data: Its bytes.

    Raises:
        MetadataError: If it cannot be read.
    """

    def __init__(self, data: bytes | None = None) -> None:
        self.data = _EMPTY.encode() if data is None else data
        root = parse(self.data.rstrip(b"\0"))
        found = next((one for one in root.walk() if one.name == (RDF, "RDF")), None)
        if found is None:
            raise MetadataError("its XMP holds no RDF")
        self._root, self._rdf = root, found
        self._blocks = [one for one in found.children if one.name == (RDF, "Description")]

    @property
    def body(self) -> bytes:
        """What it says, without its wrapper."""
        return self.data[self._root.start : self._root.end]

    @property
    def is_extended(self) -> bool:
        """Whether more of it stands elsewhere, as in a JPEG file whose XMP has more than 64 KiB."""
        return self._value((NOTE, "HasExtendedXMP")) is not None

    @property
    def is_left_over(self) -> bool:
        """Whether it holds nothing, and was begun by this program."""
        begun = (self._root.get((META, "xmptk")) or "").startswith(TOOLKIT)
        return begun and not any(True for block in self._blocks for _ in _properties(block))

    def descriptions(self) -> dict[str, str]:
        """Return the descriptions by language; ``x-default`` is that of no particular one."""
        for block in self._blocks:
            if (text := block.get(DESCRIPTION)) is not None:
                return {DEFAULT: text}
        element = self._described()
        if element is None:
            return {}
        items = _items(element)
        return {_language(item): item.text for item in reversed(items)} if items else {DEFAULT: element.text}

    def record(self) -> Record | None:
        """Return what a model wrote."""
        text, model = self._value((OURS, "Text")), self._value((OURS, "Model"))
        if text is None or model is None:
            return None
        texts = {place: value for place, name in _REPLACED.items() if (value := self._value((OURS, name))) is not None}
        return Record(
            text,
            model,
            self._value((OURS, "Version")) or "",
            self._value((OURS, "Sha256")) or "",
            _number(self._value((OURS, "Confidence"))),
            {"True": True, "False": False}.get(self._value((OURS, "NeedsReview")) or ""),
            texts,
        )

    def person(self) -> str:
        """Return a description that no model wrote; empty if there is none."""
        record = self.record()
        ours = None if record is None else record.text
        return next((text for text in self.descriptions().values() if text.strip() and text != ours), "")

    def with_record(self, record: Record) -> "Packet":
        """Return a packet whose description is a record's, in place of any other, which the record then remembers."""
        bare = self.without_record()
        there = bare.descriptions()
        if DEFAULT in there:
            record = replace(record, replaced={**record.replaced, "xmp": there[DEFAULT]})
        element = bare._described()
        edits = [*bare._cut_attribute()]
        if element is not None:
            edits += bare._set_default(element, record.text)
        edits.append(bare._block_edit(record, described=element is not None))
        return Packet(edited(bare.data, edits))

    def without_record(self) -> "Packet":
        """Return a packet without what a model wrote, and with what it replaced; what was edited since is left."""
        record = self.record()
        edits: list[Edit] = []
        for block in self._blocks:
            edits += self._without_ours(block, record)
        return Packet(edited(self.data, edits)) if edits else self

    def _without_ours(self, block: Element, record: Record | None) -> list[Edit]:
        edits, kept = list[Edit](), 0
        for one in _properties(block):
            if one.name[0] == OURS:
                edits.append(
                    (self._before(one), one.end, b"") if isinstance(one, Element) else (one.start, one.end, b"")
                )
            elif isinstance(one, Element) and one.name == DESCRIPTION and record is not None:
                found, stays = self._without_text(one, record)
                edits += found
                kept += stays
            else:
                kept += 1
        return [(self._before(block), block.end, b"")] if edits and not kept else edits

    def _without_text(self, element: Element, record: Record) -> tuple[list[Edit], bool]:
        """Take a record's text away from a description; tell whether something of the description stays."""
        items = _items(element)
        ours = next((item for item in items if _language(item) == DEFAULT and item.text == record.text), None)
        if ours is None and (items or element.text != record.text):
            return [], True
        before = record.replaced.get("xmp")
        if before is not None:
            return self._set_default(element, before), True
        if ours is None or len(items) == 1:
            return [(self._before(element), element.end, b"")], False
        return [(self._before(ours), ours.end, b"")], True

    def _set_default(self, element: Element, text: str) -> list[Edit]:
        """Let a description, which is there, say something in no particular language."""
        rdf = self._rdf.tag.rpartition(":")[0]
        tag = f"{rdf}:li" if rdf else "li"
        item = f'<{tag} xml:lang="{DEFAULT}">{_escaped(text)}</{tag}>'.encode()
        items = _items(element)
        old = next((one for one in items if _language(one) == DEFAULT), None)
        if old is not None:
            return [(old.start, old.end, item)]
        if items:
            return [(items[0].start, items[0].start, item)]
        alt = f"{rdf}:Alt" if rdf else "Alt"
        start = self.data[element.start : element.inside].removesuffix(b"/>").removesuffix(b">").rstrip()
        whole = start + f"><{alt}>".encode() + item + f"</{alt}></{element.tag}>".encode()
        return [(element.start, element.end, whole)]

    def _cut_attribute(self) -> Iterator[Edit]:
        for block in self._blocks:
            yield from ((one.start, one.end, b"") for one in block.attributes if one.name == DESCRIPTION)

    def _block_edit(self, record: Record, *, described: bool) -> Edit:
        """Return what adds a block with a record after the last one."""
        about = next((value for block in self._blocks if (value := block.get((RDF, "about"))) is not None), "")
        new = "\n" + _block(record, about, described=described)
        if self._rdf.close == self._rdf.inside == self._rdf.end:  # <rdf:RDF/>
            tag = self.data[self._rdf.start : self._rdf.inside].removesuffix(b"/>")
            return (self._rdf.start, self._rdf.end, tag + f">{new}\n</{self._rdf.tag}>".encode())
        place = self._rdf.children[-1].end if self._rdf.children else self._rdf.inside
        return (place, place, new.encode())

    def _described(self) -> Element | None:
        return next((one for block in self._blocks for one in block.children if one.name == DESCRIPTION), None)

    def _value(self, name: Name) -> str | None:
        for block in self._blocks:
            for one in _properties(block):
                if one.name == name:
                    return one.text if isinstance(one, Element) else one.value
        return None

    def _before(self, element: Element) -> int:
        """Return where the space before an element begins."""
        return len(self.data[: element.start].rstrip())


def _properties(block: Element) -> Iterator["Element | Attribute"]:
    """Yield what a block says, in both ways to say it."""
    yield from (one for one in block.attributes if one.name[0] not in (RDF, XML, ""))
    yield from block.children


def _items(element: Element) -> list[Element]:
    """Return the alternatives of a description."""
    return [item for array in element.children for item in array.children if item.name == (RDF, "li")]


def _language(item: Element) -> str:
    return item.get((XML, "lang")) or DEFAULT


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def _escaped(text: str) -> str:
    return escape(_FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text), {"\r": "&#13;"})


def _block(record: Record, about: str, *, described: bool) -> str:
    """Return a record as a block of RDF, with its text as the description unless that stands elsewhere."""
    values: Mapping[str, object] = {
        "Text": record.text,
        "Model": record.model,
        "Version": record.version,
        "Sha256": record.sha256 or None,
        "Confidence": None if record.confidence is None else f"{record.confidence:.4f}",
        "NeedsReview": record.needs_review,
        **{name: record.replaced.get(place) for place, name in _REPLACED.items()},
    }
    lines = [
        f"<captioner:{name}>{_escaped(str(value))}</captioner:{name}>"
        for name, value in values.items()
        if value is not None
    ]
    if not described:
        item = f'<rdf:li xml:lang="{DEFAULT}">{_escaped(record.text)}</rdf:li>'
        lines.insert(0, f"<dc:description><rdf:Alt>{item}</rdf:Alt></dc:description>")
    start = (
        f'<rdf:Description xmlns:rdf="{RDF}" xmlns:dc="{DC}" xmlns:captioner="{OURS}" rdf:about="{_attribute(about)}">'
    )
    return "\n".join((f"  {start}", *(f"   {line}" for line in lines), "  </rdf:Description>"))


def _attribute(text: str) -> str:
    return escape(text, {'"': "&quot;", "\n": "&#10;", "\t": "&#9;", "\r": "&#13;"})
