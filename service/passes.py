"""The web server's loop over its sockets, in small passes."""

import select
from collections.abc import Sequence
from typing import Any

from waitress import wasyncore
from waitress.channel import HTTPChannel

Socket = Any  # a dispatcher of waitress: a listener, a trigger or the channel of a connection

SHARE = 4  # channels that a pass serves because they have just come, and as many because they have waited longest
ACCEPTED = 16  # connections that a pass accepts, at most


class Passes:
    """What waitress calls its loop by, ``loop()``, but with passes that are short however many sockets are ready.

    waitress serves every ready socket before it looks again. Each takes a moment, in which other threads may take over
    the one lock that Python's threads share; when two hundred uploads come at once, whoever asks a moment later whether
    the server lives waits for the two hundred. Here a pass first accepts connections, then serves a few channels that
    are at the beginning of a request, the newest connections first, and a few of all that are ready, those first with
    which least has happened lately. What is left is still ready in the next pass.
    """

    @staticmethod
    def loop(timeout: float, map: dict[int, Socket], use_poll: bool = True) -> None:  # noqa: A002 - waitress calls it so
        """Serve sockets until there are none left.

        Args:
            timeout: Seconds after which a pass ends in which nothing is ready.
            map: From file descriptors to dispatchers.
            use_poll: Must be true.
        """
        if not use_poll:
            raise ValueError("only poll() is known here")
        while map:
            make_pass(timeout, map)


def make_pass(timeout: float, sockets: dict[int, Socket]) -> None:
    """Wait until a socket is ready, then serve some of those that are."""
    poll = select.poll()
    for descriptor, socket in list(sockets.items()):
        if awaited := _awaited(socket):
            poll.register(descriptor, awaited)
    ready = {sockets[descriptor]: seen for descriptor, seen in poll.poll(1000 * timeout) if descriptor in sockets}
    for socket, seen in ready.items():
        if not isinstance(socket, HTTPChannel):
            for _ in range(ACCEPTED if socket.accepting else 1):  # to accept what is not there does nothing
                wasyncore.readwrite(socket, seen)
    open_still = set(sockets.values())  # since a trigger may have had some closed
    for channel in choose([one for one in ready if isinstance(one, HTTPChannel) and one in open_still]):
        wasyncore.readwrite(channel, ready[channel])


def choose(channels: Sequence[HTTPChannel]) -> list[HTTPChannel]:
    """Return the channels that a pass serves."""
    beginning = sorted((one for one in channels if one.request is None), key=lambda one: -one.creation_time)[:SHARE]
    others = sorted((one for one in channels if one not in beginning), key=lambda one: one.last_activity)[:SHARE]
    return beginning + others


def _awaited(socket: Socket) -> int:
    reads = select.POLLIN | select.POLLPRI if socket.readable() else 0
    writes = select.POLLOUT if socket.writable() and not socket.accepting else 0
    return reads | writes
