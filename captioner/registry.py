"""A table from names to builders that people can read, and whose errors list the choices."""

from collections.abc import Iterator, Mapping
from typing import TypeVar

from captioner.errors import ConfigError

T = TypeVar("T")


class Registry(Mapping[str, T]):
    """A read-only mapping from a name to what builds the thing of that name.

    Args:
        kind: What the names name, for the error message ("encoder", "decoder", ...).
        entries: The table.
        further: What the error says after the names, if there are others besides those of the table.
    """

    def __init__(self, kind: str, entries: Mapping[str, T], further: str = "") -> None:
        self.kind = kind
        self._further = f"; or {further}" if further else ""
        self._entries = dict(entries)

    def __getitem__(self, name: str) -> T:
        """Return the entry.

        Raises:
            ConfigError: If the name is unknown; the message lists the known ones.
        """
        try:
            return self._entries[name]
        except KeyError:
            choices = ", ".join(sorted(self._entries))
            raise ConfigError(f"unknown {self.kind} {name!r}; choose one of: {choices}{self._further}") from None

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)
