"""Downloads that go on where they broke off, and end with the right bytes or with an error that says what is wrong."""

import contextlib
import http.client
import re
import shutil
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from captioner.files import move
from training.data.download.notes import read_note, write_note
from training.data.download.remote import RemoteFile
from training.data.download.verify import problem_of
from training.errors import DataError

ATTEMPTS = 8  # that bring nothing new, one after the other, before a download is given up
LONGEST_PAUSE, TIMEOUT, CHUNK = 60.0, 60.0, 2**18  # seconds, seconds, bytes
PASSING = (408, 425, 429, *range(500, 600))  # HTTP statuses that another attempt may not meet
NETWORK = (OSError, http.client.HTTPException)
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


class Download:
    """One file on its way from the web into a folder.

    What has come lies in ``NAME.partial``, with a note beside it of what the server called this version of the file:
    a download goes on only with the same version. Once whole and verified it gets its name, and its hash is kept in
    ``NAME.json``.

    Args:
        file: What to download.
        folder: Where to.
        pause: Called with a number of seconds to wait before another attempt.
        timeout: Seconds of silence after which a connection is given up.
    """

    def __init__(
        self,
        file: RemoteFile,
        folder: Path,
        pause: Callable[[float], None] = time.sleep,
        timeout: float = TIMEOUT,
    ) -> None:
        self.file = file
        self.path = folder / file.name
        self.record = folder / f"{file.name}.json"
        self.partial = folder / f"{file.name}.partial"
        self.note = folder / f"{file.name}.partial.json"
        self.pause = pause
        self.timeout = timeout
        self._trouble = ""
        self._resumes = True

    @property
    def have(self) -> int:
        """Bytes that have come so far, of the whole file or of a part of it."""
        for path in (self.path, self.partial):
            if path.exists():
                return path.stat().st_size
        return 0

    def run(self) -> Path:
        """Download what is missing; return the file.

        Raises:
            DataError: If the server has no such file or another one, or nothing comes any more.
            OSError: If the disk is full or cannot be written.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self._is_there():
            return self.path
        problem = self._attempt_whole()
        if problem:  # pieces may not have fitted together, whatever the server said: once more, in one go
            _tell(f"{self.file.name}: {problem}; downloading it again from its beginning")
            self._discard()
            self._resumes = False
            problem = self._attempt_whole()
        if problem:
            self._discard()
            raise DataError(f"{self.file.url}: {problem}, twice; nothing was kept")
        move(self.partial, self.path)
        self.note.unlink(missing_ok=True)
        return self.path

    def _is_there(self) -> bool:
        """Whether the file is there and whole; a damaged one is removed."""
        if not self.path.exists():
            return False
        known = read_note(self.record).get("sha256", "")
        problem, sha256 = problem_of(self.path, self.file, str(known))
        if problem:
            _tell(f"{self.path}: {problem}; downloading it again")
            self.path.unlink()
            return False
        self._keep(sha256)
        return True

    def _attempt_whole(self) -> str:
        """Bring the partial file to its full length; return what is wrong with it, or nothing."""
        self._bring()
        problem, sha256 = problem_of(self.partial, self.file)
        if not problem:
            self._keep(sha256)
        return problem

    def _keep(self, sha256: str) -> None:
        write_note(self.record, {"url": self.file.url, "sha256": sha256})

    def _bring(self) -> None:
        """Make attempts until all bytes are there.

        Raises:
            DataError: If too many attempts in a row bring nothing new.
        """
        best, idle = self.have, 0
        with tqdm(
            desc=self.file.name,
            total=self.file.size or None,
            initial=best,
            unit="B",
            unit_scale=True,
            unit_divisor=1024,
        ) as bar:
            while not self._attempt(bar):
                # against the most that ever came, so that starting again from zero for ever is not progress
                idle = 0 if self.have > best else idle + 1
                best = max(best, self.have)
                if idle >= ATTEMPTS:
                    raise DataError(
                        f"{self.file.url}: given up after {ATTEMPTS} attempts that brought nothing new "
                        f"({self._trouble}); {self.have} bytes are kept, and the same command goes on from there"
                    )
                wait = min(2.0**idle, LONGEST_PAUSE)
                _tell(f"{self.file.name}: {self._trouble}; trying again in {wait:.0f} s")
                self.pause(wait)

    def _attempt(self, bar: "tqdm[Any]") -> bool:
        """Receive what one connection brings; return whether all is there."""
        note = read_note(self.note)
        if self.have and self.have == note.get("total"):
            return True
        if not (self._resumes and note.get("validator")):
            self._discard()  # nobody could say whether the rest belongs to it
        try:
            response = urllib.request.urlopen(self._request(note), timeout=self.timeout)  # noqa: S310 - from our table
        except urllib.error.HTTPError as error:
            return self._refused(error)
        except NETWORK as error:
            return self._failed(f"no connection ({_reason(error)})")
        with contextlib.closing(response):
            if response.status == http.client.PARTIAL_CONTENT and not self._continues(response.headers, note):
                self._discard()
                return self._failed("the server answered with another part than asked for")
            if response.status != http.client.PARTIAL_CONTENT:
                self._begin(response.headers)
            return self._receive(response, bar)

    def _request(self, note: Mapping[str, Any]) -> urllib.request.Request:
        headers = {"Accept-Encoding": "identity", "User-Agent": "captioner"}
        if self.have:
            headers |= {"Range": f"bytes={self.have}-", "If-Range": str(note["validator"])}
        return urllib.request.Request(self.file.url, headers=headers)  # noqa: S310 - from our table

    def _refused(self, error: urllib.error.HTTPError) -> bool:
        with error:
            if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
                self._discard()
            elif error.code not in PASSING:
                raise DataError(f"{self.file.url}: the server answered {error.code} {error.reason}")
            return self._failed(f"the server answered {error.code} {error.reason}")

    def _failed(self, trouble: str) -> bool:
        self._trouble = trouble
        return False

    def _continues(self, headers: Mapping[str, str], note: Mapping[str, Any]) -> bool:
        """Whether a partial answer is the rest of what is there."""
        match = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", "").strip())
        return (
            match is not None
            and int(match[1]) == self.have
            and match[2] in ("*", str(note.get("total")))
            and _validator(headers) in ("", note["validator"])
        )

    def _begin(self, headers: Mapping[str, str]) -> None:
        """Start from the first byte of what the server has now.

        Raises:
            DataError: If that is not as long as the file should be.
        """
        if self.have:
            _tell(f"{self.file.name}: the file at its source has changed, or cannot be resumed; starting again")
        length = headers.get("Content-Length", "")
        total = int(length) if length.isdecimal() else None
        if self.file.size and total not in (None, self.file.size):
            self._discard()
            raise DataError(f"{self.file.url}: the server has {total} bytes; the file should have {self.file.size}")
        self.partial.write_bytes(b"")
        write_note(self.note, {"validator": _validator(headers), "total": total})

    def _receive(self, response: http.client.HTTPResponse, bar: "tqdm[Any]") -> bool:
        total = read_note(self.note).get("total")
        bar.n = self.have
        bar.total = total or bar.total
        with self.partial.open("ab") as out:
            for chunk in self._chunks(response):
                out.write(chunk)
                bar.update(len(chunk))
        if self._trouble:
            return False
        if total is None:
            write_note(self.note, {"validator": "", "total": self.have})
        elif self.have < total:
            return self._failed(f"the connection ended after {self.have} of {total} bytes")
        return True

    def _chunks(self, response: http.client.HTTPResponse) -> Iterator[bytes]:
        """Return what comes, until the end or until the connection breaks, which is noted."""
        self._trouble = ""
        while True:
            try:
                chunk = response.read(CHUNK)
            except NETWORK as error:
                self._trouble = f"the connection broke ({_reason(error)})"
                return
            if not chunk:
                return
            yield chunk

    def _discard(self) -> None:
        self.partial.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)


def free_space(folder: Path) -> int:
    """Return the free bytes of the disk that a folder is on, or will be on."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(there).free


def _validator(headers: Mapping[str, str]) -> str:
    """Return what names a version of a file for sure (RFC 9110, 13.1.5): a strong ETag, or else its date."""
    etag = headers.get("ETag", "")
    return etag if etag and not etag.startswith("W/") else headers.get("Last-Modified", "")


def _reason(error: BaseException) -> str:
    return str(getattr(error, "reason", "") or error or type(error).__name__)


def _tell(message: str) -> None:
    tqdm.write(message, file=sys.stderr)
