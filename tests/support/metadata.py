"""Metadata as others read them: exiftool, and ElementTree."""

import json
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
LANG = "{http://www.w3.org/XML/1998/namespace}lang"
SCRIPTS = {
    "Latin": "a café by the sea, “open”",
    "Cyrillic": "собака бежит по траве",
    "Chinese": "一只狗在草地上奔跑",
    "Arabic": "كلب يركض على العشب",
    "Devanagari": "एक कुत्ता घास पर दौड़ता है",
}


def exiftool(path: Path, *tags: str) -> dict[str, Any]:
    """Return what exiftool reads in a file, all of it or some tags, by group and name."""
    command = ["exiftool", "-j", "-G1", "-a", "-struct", *tags, str(path)]
    done = subprocess.run(command, capture_output=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)[0]
    return {
        name: value for name, value in found.items() if name.split(":")[0] not in ("System", "ExifTool", "SourceFile")
    }


def properties(data: bytes) -> dict[str, str]:
    """Return what an XMP packet says, by property, as ElementTree reads it: elements in their canonical form."""
    found = dict[str, str]()
    root = ElementTree.fromstring(data.rstrip(b"\0"))  # noqa: S314 - of this test's own making
    for block in root.iter(f"{RDF}Description"):
        found |= {name: value for name, value in block.attrib.items() if not name.startswith(RDF)}
        for child in block:
            child.tail = None
            found[child.tag] = ElementTree.canonicalize(ElementTree.tostring(child, "unicode"), strip_text=True)
    return found
