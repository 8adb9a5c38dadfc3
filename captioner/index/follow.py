"""What happens in a folder: which photos arrive, change and go, once they are whole."""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from captioner.errors import ConfigError
from captioner.index.update import is_photo

SETTLED = 2.0  # seconds without a change after which a file is taken to be whole
LOOK = 0.2  # seconds between two looks at what is not whole yet
SIDECAR = ".xmp"


class Arrivals:
    """Photos of a folder that have changed and are whole, as watchdog hears of them.

    Args:
        root: The folder.
        settled: Seconds without a change after which a file is whole.
    """

    def __init__(self, root: Path, settled: float = SETTLED) -> None:
        self._root = root
        self._settled = settled
        self._heard: SimpleQueue[str] = SimpleQueue()
        self._waiting: dict[str, tuple[tuple[int, int] | None, float]] = {}

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Hear of changes meanwhile.

        Raises:
            ConfigError: If watchdog is not installed.
            OSError: If the folder cannot be watched.
        """
        observer = _observer(self._hear, self._root)
        observer.start()
        try:
            yield
        finally:
            observer.stop()
            observer.join()

    def expect(self, paths: Iterable[str]) -> None:
        """Await photos that nobody was heard of, such as those that were there before."""
        for path in paths:
            self._heard.put(path)

    def ready(self) -> list[str]:
        """Return, after a moment, the paths in the folder of photos that are whole, or gone."""
        self._listen()
        now, found = time.monotonic(), []
        for path, (size, since) in list(self._waiting.items()):
            seen = _seen(self._root / path)
            if seen != size:
                self._waiting[path] = (seen, now)
            elif now - since >= self._settled or seen is None:
                del self._waiting[path]
                found.append(path)
        return found

    def _listen(self) -> None:
        """Take in what was heard, waiting a moment for it."""
        end = time.monotonic() + LOOK
        while (left := end - time.monotonic()) > 0:
            try:
                path = self._heard.get(timeout=left)
            except Empty:
                return
            self._waiting[path] = (_seen(self._root / path), time.monotonic())

    def _hear(self, event: Any) -> None:
        """Note the photos that an event is about, or whose sidecar it is about; called by watchdog's thread."""
        if event.is_directory or event.event_type in ("opened", "closed_no_write"):
            return
        for name in (event.src_path, getattr(event, "dest_path", "")):
            for path in _photos(os.path.relpath(os.fsdecode(name), self._root)) if name else ():
                self._heard.put(path)


def _photos(path: str) -> Iterator[str]:
    if any(part.startswith(".") for part in Path(path).parts):
        return
    if is_photo(path):
        yield path
    elif path.lower().endswith(SIDECAR) and is_photo(path[: -len(SIDECAR)]):
        yield path[: -len(SIDECAR)]


def _seen(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def _observer(hear: Callable[[Any], None], root: Path) -> Any:
    try:
        from watchdog.events import FileSystemEventHandler  # noqa: PLC0415 - an extra, which is not always there
        from watchdog.observers import Observer  # noqa: PLC0415
    except ModuleNotFoundError:
        raise ConfigError(
            "a folder is followed by watchdog, which is not installed; pip install 'captioner[follow]' installs it"
        ) from None
    handler = FileSystemEventHandler()
    handler.on_any_event = hear
    observer = Observer()
    observer.schedule(handler, str(root), recursive=True)
    return observer
