"""The file of an index: photos with their captions, and the words in them, by SQLite's FTS5.

Whoever searches opens it read-only, so it must not be in WAL mode, which even readers write to. A batch of photos is a
transaction: the file is whole at any moment.
"""

import os
import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from captioner.errors import OptionError

APPLICATION, VERSION = 0x43415054, 1  # by which SQLite tells one program's files from another's
BUSY_SECONDS = 30.0
MAX_WORDS, MAX_HITS = 32, 1000  # of a query
SCHEMA = """
CREATE TABLE photos (
    id INTEGER PRIMARY KEY AUTOINCREMENT, root BLOB NOT NULL, path BLOB NOT NULL,
    stamp TEXT NOT NULL, model TEXT NOT NULL, caption TEXT NOT NULL, description TEXT NOT NULL,
    confidence REAL, needs_review INTEGER, error TEXT NOT NULL,
    UNIQUE (root, path)
);
CREATE VIRTUAL TABLE words USING fts5 (
    caption, description, name, tokenize = 'porter unicode61 remove_diacritics 2'
);
"""
FIND = """
SELECT photos.id, root, path, photos.caption, photos.description, confidence, needs_review
FROM words JOIN photos ON photos.id = words.rowid
WHERE words MATCH ? ORDER BY bm25(words, 2.0, 2.0, 1.0), photos.id LIMIT ?
"""
# Words that nearly every caption has, and that say nothing of what is in it.
IDLE = frozenset(
    ("a", "an", "and", "are", "at", "by", "for", "from", "in", "is", "it", "of", "on", "or", "the", "to", "with")
)


@dataclass(frozen=True)
class Entry:
    """A photo of an index.

    Attributes:
        path: Where it is, relative to its root.
        stamp: Of what its entry was made: another one asks for a new entry.
        model: Which model captioned it.
        caption: The caption.
        description: What a person wrote of it.
        confidence: How sure the model is of the caption, or ``None``.
        needs_review: Whether a person should look at the caption, or ``None``.
        error: Why it has no caption; empty if it has one.
    """

    path: str
    stamp: str
    model: str
    caption: str = ""
    description: str = ""
    confidence: float | None = None
    needs_review: bool | None = None
    error: str = ""


@dataclass(frozen=True)
class Hit:
    """A photo that was found; ``id`` is its number in the index, ``root`` the folder that was indexed."""

    id: int
    root: Path
    path: str
    caption: str
    description: str
    confidence: float | None
    needs_review: bool | None

    @property
    def file(self) -> Path:
        """Where it is."""
        return self.root / self.path


class PhotoIndex:
    """An index, to be read alone, or also written.

    Args:
        path: Its file; one that is to be written is made if it is not there.
        writable: Whether it is written, too.

    Raises:
        OptionError: If it is no index of this version, or is not there.
    """

    def __init__(self, path: Path, *, writable: bool = False) -> None:
        self._path = path
        self._writable = writable
        if writable:
            path.parent.mkdir(parents=True, exist_ok=True)
        elif not path.is_file():
            raise OptionError(f"{path}: no such index; captioner index FOLDER makes one")
        with self._opened() as database:
            self._check(database)

    def known(self, root: Path) -> Mapping[str, tuple[str, str]]:
        """Return the stamp and the model of each photo of a folder, by its path there."""
        with self._opened() as database:
            rows = database.execute("SELECT path, stamp, model FROM photos WHERE root = ?", (os.fsencode(root),))
            return {os.fsdecode(path): (stamp, model) for path, stamp, model in rows}

    def has(self, root: Path, path: str, stamp: str, model: str) -> bool:
        """Whether a photo has an entry that was made of this, by this model."""
        key = (os.fsencode(root), os.fsencode(path))
        with self._opened() as database:
            row = database.execute("SELECT stamp, model FROM photos WHERE root = ? AND path = ?", key).fetchone()
        return bool(row == (stamp, model))

    def put(self, root: Path, entries: Iterable[Entry]) -> None:
        """Set the entries of photos of a folder, all or none of them."""
        with self._opened() as database, database:
            for entry in entries:
                _remove(database, root, entry.path)
                _insert(database, root, entry)

    def remove(self, root: Path, paths: Iterable[str]) -> None:
        """Remove photos of a folder, all or none of them."""
        with self._opened() as database, database:
            for path in paths:
                _remove(database, root, path)

    def find(self, text: str, limit: int = 20) -> list[Hit]:
        """Return the photos whose words match best: those with all words of a text, or if there are none, with some."""
        words = _words(text)
        if not words:
            return []
        quoted = [f'"{word}"' for word in words]
        with self._opened() as database:
            for query in (" AND ".join(quoted), " OR ".join(quoted)):
                rows = database.execute(FIND, (query, min(limit, MAX_HITS))).fetchall()
                if rows:
                    return [_hit(*row) for row in rows]
        return []

    def file(self, number: int) -> Path | None:
        """Return the file of a photo, unless it has left the folder that was indexed, be it by a link."""
        with self._opened() as database:
            row = database.execute("SELECT root, path FROM photos WHERE id = ?", (number,)).fetchone()
        if row is None:
            return None
        root, path = (Path(os.fsdecode(part)) for part in row)
        file = (root / path).resolve()
        return file if file.is_relative_to(root.resolve()) and file.is_file() else None

    def __len__(self) -> int:
        with self._opened() as database:
            (count,) = database.execute("SELECT count(*) FROM photos").fetchone()
        return int(count)

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        mode = "rwc" if self._writable else "ro"
        address = f"file:{quote(os.fsencode(self._path.absolute()))}?mode={mode}"
        try:
            with closing(sqlite3.connect(address, uri=True, timeout=BUSY_SECONDS)) as database:
                yield database
        except sqlite3.DatabaseError as error:
            raise OptionError(f"{self._path}: not usable as an index: {error}") from None

    def _check(self, database: sqlite3.Connection) -> None:
        (application,) = database.execute("PRAGMA application_id").fetchone()
        (version,) = database.execute("PRAGMA user_version").fetchone()
        (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if self._writable and not (application or version or tables):
            with database:
                database.executescript(
                    f"BEGIN; PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION}; {SCHEMA} COMMIT;"
                )
        elif (application, version) != (APPLICATION, VERSION):
            raise OptionError(f"{self._path}: no index of photos, or one of another version")


def _words(text: str) -> list[str]:
    words = re.findall(r"\w+", text.lower())[:MAX_WORDS]
    return [word for word in words if word not in IDLE] or words


def _insert(database: sqlite3.Connection, root: Path, entry: Entry) -> None:
    path = os.fsencode(entry.path)
    values = (
        entry.stamp,
        entry.model,
        entry.caption,
        entry.description,
        entry.confidence,
        entry.needs_review,
        entry.error,
    )
    found = database.execute(
        "INSERT INTO photos (root, path, stamp, model, caption, description, confidence, needs_review, error) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (os.fsencode(root), path, *values),
    )
    name = re.sub(r"[\W_]+", " ", path.decode("utf-8", "replace"))
    database.execute(
        "INSERT INTO words (rowid, caption, description, name) VALUES (?, ?, ?, ?)",
        (found.lastrowid, entry.caption, entry.description, name),
    )


def _remove(database: sqlite3.Connection, root: Path, path: str) -> None:
    key = (os.fsencode(root), os.fsencode(path))
    database.execute("DELETE FROM words WHERE rowid IN (SELECT id FROM photos WHERE root = ? AND path = ?)", key)
    database.execute("DELETE FROM photos WHERE root = ? AND path = ?", key)


def _hit(
    number: int, root: bytes, path: bytes, caption: str, description: str, confidence: float | None, review: int | None
) -> Hit:
    needs_review = None if review is None else bool(review)
    return Hit(number, Path(os.fsdecode(root)), os.fsdecode(path), caption, description, confidence, needs_review)
