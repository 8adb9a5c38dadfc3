"""The path below which a proxy shows the service to the world, such as ``/captions``."""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from flask import Flask, Response, redirect, request

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PREFIX = "(?:/[A-Za-z0-9._~-]+)+"  # without a slash at its end


class Prefixed:
    """A WSGI application that answers below a path as it does at the root.

    Proxies do one of two things: they leave the path as it is, or they cut the prefix off. Both are understood. What a
    trusted proxy says by ``X-Forwarded-Prefix``, which is ``SCRIPT_NAME`` when it comes here, wins over the setting.

    Args:
        application: What answers.
        prefix: The path; empty if there is none but what proxies say.
    """

    def __init__(self, application: "WSGIApplication", prefix: str = "") -> None:
        self._application = application
        self._prefix = prefix

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer a request."""
        said = str(environ.get("SCRIPT_NAME", "")).rstrip("/")
        prefix = said if re.fullmatch(PREFIX, said) else self._prefix
        path = str(environ.get("PATH_INFO", ""))
        environ["SCRIPT_NAME"] = prefix
        if prefix and (path == prefix or path.startswith(f"{prefix}/")):
            environ["PATH_INFO"] = path[len(prefix) :]
        return self._application(environ, start_response)


def serve_below(app: Flask, prefix: str) -> None:
    """Let an application answer below a path too."""
    app.wsgi_app = Prefixed(app.wsgi_app, prefix)  # type: ignore[method-assign]

    @app.before_request
    def add_slash() -> Response | None:
        """Send ``/prefix`` to ``/prefix/``, since the page names everything beside itself."""
        if request.environ.get("PATH_INFO") or not request.script_root:
            return None
        query = request.query_string.decode("latin-1")
        answer = redirect(f"{request.script_root}/{'?' if query else ''}{query}", 308)
        answer.autocorrect_location_header = False
        return answer  # type: ignore[return-value]


def outer_path() -> str:
    """Return the path of the current request as its client knows it."""
    return f"{request.script_root}{request.path}"
