"""The web server: waitress, which reads a slow client's request to its end before a thread is spent on it."""

import select
import threading
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

from flask import Flask
from waitress import create_server, wasyncore
from waitress.channel import HTTPChannel
from waitress.server import BaseWSGIServer
from waitress.task import ThreadedTaskDispatcher

from service.buffering import channel_maker
from service.concurrency import ConcurrencyLimit
from service.settings import Settings

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


HEALTH_PATHS = ("/livez", "/readyz", "/v2/health/live", "/v2/health/ready")
MOST_CONNECTIONS = 800  # below the 1024 files that a process may usually have open
MOST_HEADER_BYTES = 2**16  # of a request, its first line included
LOOK_SECONDS = 0.02  # between two looks whether all answers have been sent
CLOSE_SECONDS = 1  # that closing sockets and threads may take


class HealthFirst(ThreadedTaskDispatcher):  # type: ignore[misc]
    """Threads that answer requests, those for health before all others that wait for a thread.

    Args:
        paths: Where health is asked for.
    """

    def __init__(self, paths: Collection[str]) -> None:
        super().__init__()
        self._paths = paths

    def add_task(self, task: Any) -> None:
        """Let a connection's next request wait for a thread."""
        with self.lock:
            if getattr(task.requests[0], "path", None) in self._paths:  # what could not be parsed has no path
                self.queue.appendleft(task)
            else:
                self.queue.append(task)
            self.queue_cv.notify()


def open_server(app: Flask, settings: Settings) -> Any:
    """Return a waitress server that listens already, and answers once its ``run()`` is called.

    waitress refuses a body in plain text and hangs up at once, so its limit is twice that of the application:
    what is somewhat too large is read and refused in the application's words. Nothing overflows to a
    temporary file, and all connections together hold no more than the settings say (:mod:`service.buffering`).

    Raises:
        OSError: If the address cannot be listened on.
    """
    most = 2 * app.config["MAX_CONTENT_LENGTH"]
    health = {*HEALTH_PATHS, *(f"{settings.prefix}{path}" for path in HEALTH_PATHS)}
    threads = HealthFirst(health)
    threads.set_thread_count(settings.server_threads)
    server = create_server(
        ConcurrencyLimit(app, health),
        _dispatcher=threads,
        host=settings.host,
        port=settings.port,
        connection_limit=MOST_CONNECTIONS,
        asyncore_use_poll=True,  # since select() knows only the first 1024 files
        max_request_header_size=MOST_HEADER_BYTES,
        max_request_body_size=most,
        inbuf_overflow=most + 1,
        outbuf_overflow=most + 1,
        clear_untrusted_proxy_headers=not settings.trusted_proxies,  # or the application would not see them
        recv_bytes=2**16,
        ident="",
    )
    server.asyncore = Passes
    for listener in _listeners(server):
        listener.channel_class = channel_maker(settings.max_buffered_bytes)
    return server


def addresses(server: Any) -> list[str]:
    """Return the URLs at which a server listens."""
    listening = getattr(server, "effective_listen", None) or [(server.effective_host, server.effective_port)]
    return [f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}" for host, port in listening]


def stop_server(server: Any, seconds: float = 0) -> None:
    """Let a server answer what it has read, for so long at most, then close it, so that its ``run()`` returns.

    To be called from another thread than that of ``run()``.
    """
    end = time.monotonic() + seconds
    sockets = _sockets(server)
    listeners = _listeners(server)
    _wait_until_idle(server, sockets, end)
    # To close a listener must not close its trigger, by which threads tell of answers, as its own close() does.
    _in_loop(listeners, lambda: [wasyncore.dispatcher.close(listener) for listener in listeners])
    _wait_until_idle(server, sockets, end)
    _in_loop(listeners, lambda: wasyncore.close_all(sockets, ignore_all=True))
    server.task_dispatcher.shutdown(timeout=CLOSE_SECONDS)


def _sockets(server: Any) -> dict[int, Any]:
    found: dict[int, Any] = getattr(server, "map", None) or server._map
    return found


def _listeners(server: Any) -> list[Any]:
    return [socket for socket in list(_sockets(server).values()) if isinstance(socket, BaseWSGIServer)]


def _wait_until_idle(server: Any, sockets: dict[int, Any], end: float) -> None:
    """Wait until no thread is at work, all that was sent is read, and all that was answered is sent."""
    while time.monotonic() < end:
        channels = [socket for socket in list(sockets.values()) if isinstance(socket, HTTPChannel)]
        busy = any(channel.requests or channel.total_outbufs_len or _unread(channel) for channel in channels)
        if not busy and not server.task_dispatcher.queue and server.task_dispatcher.active_count == 0:
            return
        time.sleep(LOOK_SECONDS)


def _unread(channel: Any) -> bool:
    """Tell whether a client has sent something that the loop has not come to read yet."""
    poll = select.poll()
    try:
        poll.register(channel.socket, select.POLLIN)
        return bool(poll.poll(0))
    except (OSError, ValueError):  # it has just been closed
        return False


def _in_loop(listeners: Sequence[Any], call: Callable[[], object]) -> None:
    """Call something in the thread of ``run()``, the only one that may open and close sockets."""
    called = threading.Event()

    def thunk() -> None:
        call()
        called.set()

    listeners[0].trigger.pull_trigger(thunk)
    called.wait(CLOSE_SECONDS)
