"""Files that may be meant by a name that is not there: other case, Unicode form, slashes, or folder."""

import unicodedata
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath


def plain(name: str) -> PurePosixPath:
    """Return a name without what keyboards, systems and archives change: case, Unicode form, slashes, dots."""
    composed = unicodedata.normalize("NFC", name.replace("\\", "/"))
    return PurePosixPath(unicodedata.normalize("NFC", composed.casefold().lstrip("/")))


def hints(names: Iterable[str]) -> Callable[[str], str]:
    """Return a function from a name to a hint at the only one of some names that is like it, empty if there is none.

    Args:
        names: Those that exist.
    """
    whole: dict[PurePosixPath, list[str]] = {}
    last: dict[str, list[str]] = {}
    for name in sorted(names):
        whole.setdefault(plain(name), []).append(name)
        last.setdefault(plain(name).name, []).append(name)

    def hint(name: str) -> str:
        key = plain(name)
        found = whole.get(key) or last.get(key.name, [])
        if len(found) != 1:
            return ""
        other = "" if found[0] != name and _looks(found[0]) != _looks(name) else ", in another Unicode form"
        return f" (did you mean {found[0]!r}{other}?)"

    return hint


def photo_hints(folder: Path) -> Callable[[str], str]:
    """Return :func:`hints` at the files of a folder."""
    files = folder.rglob("*") if folder.is_dir() else ()
    return hints(file.relative_to(folder).as_posix() for file in files if file.is_file())


def _looks(name: str) -> str:
    return unicodedata.normalize("NFC", name)
