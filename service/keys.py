"""API keys: of which only hashes are stored.

``python -m service.keys NAME`` makes a new key.
"""

import argparse
import hashlib
import hmac
import re
import secrets
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from flask import Request
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Unauthorized

from captioner.errors import ConfigError

HEADER = "X-API-Key"
NAME = "[A-Za-z0-9._-]{1,64}"


class ApiKeys:
    """The keys that open the service.

    Args:
        names: What the owner of each key is called, by the SHA-256 of the key in hex.
    """

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = dict(names)

    @classmethod
    def from_file(cls, path: Path) -> "ApiKeys":
        """Read a file of one hash per line, each with a name if it shall have one; ``#`` starts a comment.

        Raises:
            ConfigError: If the file cannot be read, holds no key, or a line is anything else.
        """
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError) as error:
            raise ConfigError(f"api_keys is {path}, which cannot be read: {error}") from None
        names = dict(_read_line(line, f"{path}:{n}") for n, line in enumerate(lines, 1) if line.split("#")[0].strip())
        if not names:
            raise ConfigError(f"api_keys is {path}, which holds no key; make one with python -m service.keys")
        return cls(names)

    def owner(self, key: str) -> str | None:
        """Return the name of a key's owner; None for a key that is not known."""
        found = None
        given = _hash(key)
        for known, name in self._names.items():  # all of them, so that the time tells nothing
            if hmac.compare_digest(given, known):
                found = name
        return found

    def require(self, request: Request) -> str:
        """Return the name of the owner of a request's key.

        Raises:
            Unauthorized: If it has none, or one that is not known.
        """
        key = request.headers.get(HEADER) or _bearer(request.headers.get("Authorization", ""))
        owner = self.owner(key) if key else None
        if owner is None:
            what = "this API key is not known" if key else "an API key is needed"
            raise Unauthorized(
                f"{what}; send one as {HEADER} or as Authorization: Bearer",
                www_authenticate=WWWAuthenticate("bearer", {"realm": "captioner"}),
            )
        return owner


def _read_line(line: str, place: str) -> tuple[str, str]:
    words = line.split("#", maxsplit=1)[0].split()
    if len(words) > 2 or not re.fullmatch("[0-9a-f]{64}", words[0]) or not re.fullmatch(NAME, words[-1]):
        raise ConfigError(f"{place}: it must be the SHA-256 of a key in lower-case hex, and a name if you like")
    return words[0], words[-1] if len(words) == 2 else words[0][:8]


def _bearer(header: str) -> str:
    scheme, _, key = header.partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def main(argv: Sequence[str] | None = None) -> int:
    """Make a new key: print the line for the file of keys, and on standard error the key itself."""
    parser = argparse.ArgumentParser(prog="python -m service.keys", description=main.__doc__)
    parser.add_argument("name", help="what its owner is called in limits and logs: letters, digits, '.', '_', '-'")
    name = parser.parse_args(argv).name
    if not re.fullmatch(NAME, name):
        parser.error(f"name is {name!r}; it must be up to 64 letters, digits, '.', '_' or '-'")
    key = f"cap_{secrets.token_urlsafe(32)}"
    sys.stdout.write(f"{_hash(key)} {name}\n")
    sys.stderr.write(f"The key, which is shown only this once: {key}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
