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
from service.passes import Passes
from service.settings import Settings
from service.turns import Turns

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
        Turns(app, health),
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
