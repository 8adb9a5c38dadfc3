"""The web server: waitress, which reads a slow client's request to its end before a thread is spent on it."""

from typing import Any

from flask import Flask
from waitress import create_server

from service.settings import Settings


def open_server(app: Flask, settings: Settings) -> Any:
    """Return a waitress server that listens already, and answers once its ``run()`` is called.

    waitress refuses a body in plain text and hangs up at once, so its limit is twice that of the application:
    what is somewhat too large is read and refused in the application's words. Nothing overflows to a
    temporary file.

    Raises:
        OSError: If the address cannot be listened on.
    """
    most = 2 * app.config["MAX_CONTENT_LENGTH"]
    return create_server(
        app,
        host=settings.host,
        port=settings.port,
        threads=settings.server_threads,
        max_request_body_size=most,
        inbuf_overflow=most + 1,
        outbuf_overflow=most + 1,
        clear_untrusted_proxy_headers=not settings.trusted_proxies,  # or the application would not see them
        recv_bytes=2**16,
        ident="",
    )


def addresses(server: Any) -> list[str]:
    """Return the URLs at which a server listens."""
    listening = getattr(server, "effective_listen", None) or [(server.effective_host, server.effective_port)]
    return [f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}" for host, port in listening]
