"""Packets edited in place, with ElementTree as the oracle of what they say."""

from dataclasses import replace
from pathlib import Path

import pytest

from captioner.errors import MetadataError
from captioner.metadata.record import Record
from captioner.metadata.source import edited, parse
from captioner.metadata.xmp import DC, OURS, Packet
from tests.support.metadata import SCRIPTS, properties

RECORD = Record("a dog runs", "flickr8k", "3", "f" * 64, 0.75, False)
HEAD = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 6.0.0">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:dc="http://purl.org/dc/elements/1.1/">'
)
TAIL = "</rdf:RDF></x:xmpmeta>"
DESCRIPTION = f"{{{DC}}}description"
EDITED = f"""\
<?xpacket begin='\ufeff' id='W5M0MpCehiHzreSzNTczkc9d'?><!-- by hand -->
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="darktable 5">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about="uuid:1" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:tiff='http://ns.adobe.com/tiff/1.0/' xmlns:own="urn:own/"
    xmp:Rating = "4" tiff:Orientation='6' own:note="two&#xA;lines &amp; &quot;more&quot; > one">
   <dc:title xmlns:dc="{DC}"><rdf:Alt><rdf:li xml:lang="x-default">{SCRIPTS["Arabic"]}</rdf:li>
     <rdf:li xml:lang="hi">{SCRIPTS["Devanagari"]}</rdf:li></rdf:Alt></dc:title>
   <dc:subject xmlns:dc="{DC}"><rdf:Bag>
     <rdf:li>{SCRIPTS["Chinese"]}</rdf:li><rdf:li>{SCRIPTS["Cyrillic"]}</rdf:li></rdf:Bag></dc:subject>
   <own:history><rdf:Seq>
     <rdf:li rdf:parseType="Resource"><own:what><![CDATA[a < b]]></own:what></rdf:li></rdf:Seq></own:history>
  </rdf:Description>
  <rdf:Description rdf:about="uuid:1" xmlns:lr="http://ns.adobe.com/lightroom/1.0/"/>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end='w'?>
"""  # fmt: skip


def packet(inside: str) -> Packet:
    return Packet(f"{HEAD}{inside}{TAIL}".encode())


def others(data: bytes) -> dict[str, str]:
    return {name: value for name, value in properties(data).items() if name != DESCRIPTION and OURS not in name}


def test_a_new_packet_says_what_it_was_given() -> None:
    written = Packet().with_record(RECORD)
    assert written.descriptions() == {"x-default": "a dog runs"}
    assert written.record() == RECORD
    assert written.person() == ""
    assert others(written.data) == {}
    assert written.without_record().is_left_over
    assert written.without_record().data == Packet().data


@pytest.mark.parametrize("text", [*SCRIPTS.values(), "a & b < c > \"d\" 'e'", "two\nlines\r\nand\ttabs", "]]>"])
def test_any_text_is_read_as_it_was_written(text: str) -> None:
    record = replace(RECORD, text=text, replaced={"iptc": text, "exif": text})
    assert Packet().with_record(record).record() == record
    assert Packet().with_record(record).descriptions() == {"x-default": text}


def test_what_xml_cannot_hold_is_replaced() -> None:
    written = Packet().with_record(replace(RECORD, text="a\x00b\x1bc"))
    assert written.descriptions() == {"x-default": "a\ufffdb\ufffdc"}


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_sidecar_that_a_person_edited_keeps_every_property(mark: str) -> None:
    before = Packet((mark + EDITED).encode())
    written = before.with_record(RECORD)
    assert written.descriptions() == {"x-default": "a dog runs"}
    assert len(others(before.data)) == 6
    assert others(written.data) == others(before.data)
    assert b'rdf:about="uuid:1"' in written.data.split(b"xmlns:captioner")[1]
    again = written.with_record(replace(RECORD, text="two dogs", version="4"))
    assert again.descriptions() == {"x-default": "two dogs"}
    assert again.data.count(b"captioner:Model>") == 2
    assert again.without_record().data == written.without_record().data == before.data


def test_padding_stays() -> None:
    before = Packet(EDITED.encode() + b"\0" * 3)
    assert before.with_record(RECORD).data.endswith(b"<?xpacket end='w'?>\n\0\0\0")


@pytest.mark.parametrize("inside", ["", '<rdf:Description rdf:about=""/>', "<!-- nothing -->"])
def test_empty_packets(inside: str) -> None:
    before = packet(inside)
    written = before.with_record(RECORD)
    assert written.record() == RECORD
    assert written.without_record().data == before.data


def test_rdf_of_a_single_tag() -> None:
    before = Packet(b'<RDF xmlns="http://www.w3.org/1999/02/22-rdf-syntax-ns#" />')
    written = before.with_record(RECORD)
    assert written.record() == RECORD
    assert "flickr8k" in properties(written.data)[f"{{{OURS}}}Model"]
    assert written.without_record().descriptions() == {}


PERSONS = {
    "alternative": '<dc:description><rdf:Alt><rdf:li xml:lang="x-default">{}</rdf:li></rdf:Alt></dc:description>',
    "plain": "<dc:description>{}</dc:description>",
    "no language": "<dc:description><rdf:Alt><rdf:li>{}</rdf:li></rdf:Alt></dc:description>",
    "attribute": "",
}


@pytest.mark.parametrize("form", PERSONS)
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_person_s_description_is_seen_and_comes_back_after_it_was_replaced(form: str, script: str) -> None:
    attribute = f'dc:description="{SCRIPTS[script]}"' if form == "attribute" else ""
    inside = PERSONS[form].format(SCRIPTS[script])
    before = packet(f'<rdf:Description dc:format="image/jpeg" {attribute}>{inside}</rdf:Description>')
    assert before.person() == SCRIPTS[script]
    written = before.with_record(RECORD)
    assert (written.person(), written.descriptions()) == ("", {"x-default": "a dog runs"})
    assert properties(written.data)[DESCRIPTION].count("a dog runs") == 1
    newer = written.with_record(replace(RECORD, text="two dogs", version="4"))
    for one in (written, newer):
        bare = one.without_record()
        assert (bare.record(), bare.descriptions()) == (None, {"x-default": SCRIPTS[script]})
        assert others(bare.data) == others(before.data)


@pytest.mark.parametrize(
    "empty",
    [
        "<dc:description/>",
        "<dc:description></dc:description>",
        "<dc:description><rdf:Alt/></dc:description>",
        '<dc:description><rdf:Alt><rdf:li xml:lang="x-default"/></rdf:Alt></dc:description>',
    ],
)
def test_an_empty_description_is_nobody_s(empty: str) -> None:
    before = packet(f"<rdf:Description>{empty}</rdf:Description>")
    assert before.person() == ""
    written = before.with_record(RECORD)
    assert written.descriptions() == {"x-default": "a dog runs"}
    assert len([True for one in parse(written.data).walk() if one.name == (DC, "description")]) == 1
    assert written.without_record().person() == ""


def test_other_languages_stay_and_count_as_a_person_s() -> None:
    russian = '<rdf:Alt><rdf:li xml:lang="ru">собака</rdf:li></rdf:Alt>'
    before = packet(f"<rdf:Description><dc:description>{russian}</dc:description></rdf:Description>")
    assert before.person() == "собака"
    written = before.with_record(RECORD)
    assert written.descriptions() == {"x-default": "a dog runs", "ru": "собака"}
    assert written.data.index(b"x-default") < written.data.index(b'"ru"')
    assert written.without_record().data == before.data


def test_what_a_person_made_of_a_caption_is_the_person_s() -> None:
    written = Packet().with_record(RECORD)
    corrected = Packet(written.data.replace(b'"x-default">a dog runs', b'"x-default">a fox runs'))
    assert corrected.person() == "a fox runs"
    bare = corrected.without_record()
    assert (bare.record(), bare.descriptions()) == (None, {"x-default": "a fox runs"})


def test_entities_and_what_they_would_read_are_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hidden")
    for entity in (f'<!ENTITY a SYSTEM "{secret.as_uri()}">', '<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">'):
        text = f"<!DOCTYPE x [{entity}]>{HEAD}<rdf:Description><dc:title>&a;</dc:title></rdf:Description>{TAIL}"
        with pytest.raises(MetadataError, match="DOCTYPE"):
            Packet(text.encode())


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "damaged"),
        (b"<a>", "damaged"),
        (b"<a/>", "no RDF"),
        ("<a>é</a>".encode("latin-1"), "UTF-8"),
        (EDITED.encode("utf-16"), "UTF-8"),
        (b"<a>" * 100 + b"</a>" * 100, "deep"),
        (f"{HEAD}&nbsp;{TAIL}".encode(), "damaged"),
    ],
)
def test_what_cannot_be_read_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(MetadataError, match=message):
        Packet(data)


def test_places_are_those_of_the_bytes() -> None:
    root = parse(EDITED.encode())
    for element in root.walk():
        first = EDITED.encode()[element.start : element.inside]
        assert first.startswith(f"<{element.tag}".encode())
        assert first.endswith(b">")
        assert EDITED.encode()[element.close : element.end] in (b"", f"</{element.tag}>".encode())
    assert edited(b"abcdef", [(1, 2, b"xyz"), (4, 4, b"-")]) == b"axyzcd-ef"
