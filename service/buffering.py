"""What the web server holds of all requests and answers together, which is bounded.

waitress reads each request to its end before a thread is spent on it, and keeps each answer until it is sent. That
costs memory before anything of the application is asked, so that a bound for one request is none for hundreds.
"""

import io
import time
from collections.abc import Callable
from typing import Any

from flask import Flask, request
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.task import WSGITask

from service.errors import MEBIBYTE, BusyError
from service.observability.observer import Observer

REFUSED = "captioner.refused"  # in the environment of a request whose body was thrown away
RETRY_SECONDS = 5
SLOW = 32 * 1024  # bytes per second; below that a body gives way to others
STEP = 2**20  # bytes by which a body grows whose length nobody knows
GRACE_SECONDS = 10  # in which none is slow yet


class DiscardingBuffer:
    """A buffer that keeps nothing, in place of waitress' own."""

    def append(self, data: bytes) -> None:
        """Forget bytes."""

    def __len__(self) -> int:
        return 0

    def getfile(self) -> io.BytesIO:
        """Return an empty file."""
        return io.BytesIO()

    def close(self) -> None:
        """Do nothing."""


class Parser(HTTPRequestParser):  # type: ignore[misc]
    """A request that is being read."""

    is_refused = False
    granted = 0  # bytes that its body may take

    def __init__(self, adjustments: Any) -> None:
        super().__init__(adjustments)
        self.began = time.monotonic()

    @property
    def held(self) -> int:
        """How many bytes of memory its body takes or will take; of one that comes in chunks, in whole steps."""
        if self.body_rcv is None or self.is_refused:
            return 0
        return -(-len(self.body_rcv) // STEP) * STEP if self.chunked else int(self.content_length)

    def is_slow(self, now: float) -> bool:
        """Return whether its body has come too slowly to take memory from others."""
        seconds = now - self.began
        return seconds > GRACE_SECONDS and self.body_bytes_received < SLOW * seconds

    def refuse(self) -> None:
        """Throw away its body, and what is still to come of it.

        It is read to its end all the same, since many clients read an answer only when they have sent everything.
        """
        self.is_refused = True
        self.body_rcv.getbuf().close()
        self.body_rcv.buf = DiscardingBuffer()


class Task(WSGITask):  # type: ignore[misc]
    """A request that is answered by the application, which is told if there was no memory for its body."""

    def get_environment(self) -> dict[str, Any]:
        """Return the WSGI environment."""
        environ: dict[str, Any] = super().get_environment()
        environ[REFUSED] = self.request.is_refused
        return environ


class Channel(HTTPChannel):  # type: ignore[misc]
    """A connection, which takes part in a bound for all of them.

    Args:
        most: Most bytes that all connections of a server hold together, apart from what comes in one piece.
        args: What waitress gives a channel.
        named: The same.
    """

    task_class = Task
    parser_class = Parser

    def __init__(self, most: int, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._most = most

    def __repr__(self) -> str:
        return f"<connection {self._fileno}>"  # waitress logs it when something is amiss, and its own tells the address

    __str__ = __repr__

    @property
    def held(self) -> int:
        """How many bytes this connection holds: of requests that are read or answered, and of answers to be sent."""
        reading = [] if self.request is None else [self.request]
        held: int = self.total_outbufs_len + sum(parser.held for parser in [*self.requests, *reading])
        return held

    def received(self, data: bytes) -> bool:
        """Read what has come, and make sure that there is memory for the rest."""
        going_on = bool(super().received(data))
        parser = self.request
        if parser is not None and parser.held > parser.granted:
            if self._make_room():
                parser.granted = parser.held
            else:
                parser.refuse()
        return going_on

    def _make_room(self) -> bool:
        """Return whether all that is held is within bounds, once those that are slow have given way.

        Called from the loop, the only thread that reads, so that nothing is added meanwhile.
        """
        channels = [channel for channel in list(self._map.values()) if isinstance(channel, Channel)]
        excess = sum(channel.held for channel in channels) - self._most
        now = time.monotonic()
        for channel in channels if excess > 0 else []:
            parser = channel.request
            if parser is not None and parser.held and parser.is_slow(now):
                excess -= parser.held
                parser.refuse()
            if excess <= 0:
                break
        return excess <= 0


def channel_maker(most: int) -> Callable[..., Channel]:
    """Return what makes the channels of a server that may hold so many bytes."""

    def make(*args: Any, **named: Any) -> Channel:
        return Channel(most, *args, **named)

    return make


def refuse_unread(app: Flask, most: int, observer: Observer) -> None:
    """Let an application answer requests whose bodies were thrown away."""

    @app.before_request
    def check_body() -> None:
        if request.environ.get(REFUSED):
            observer.rejected("uploads_full")
            raise BusyError(
                f"the uploads that are being received fill the {most / MEBIBYTE:.0f} MiB that there are for them, "
                "or this one came too slowly to keep its part; try again in a moment",
                RETRY_SECONDS,
            )
