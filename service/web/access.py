"""Who may call, how often, and from which pages: keys, rate limits and CORS, all off unless they are asked for."""

import logging
from collections.abc import Collection

from flask import Flask, Response, g, request
from flask_limiter import Limiter
from limits import parse
from werkzeug.middleware.proxy_fix import ProxyFix

from captioner.errors import ConfigError
from service.keys import HEADER, ApiKeys
from service.prefix import serve_below
from service.settings import Settings
from service.web.fetching import split_list

# The page itself, what describes the interface, and what machines ask all the time.
OPEN_PATHS = frozenset(
    {
        "/",
        "/favicon.ico",
        "/docs",
        "/openapi.json",
        "/livez",
        "/readyz",
        "/metrics",
        "/v2/health/live",
        "/v2/health/ready",
    }
)
OPEN_FOLDER = "/static/"
PREFLIGHT_SECONDS = 600
ANY_ORIGIN = "*"


def control_access(app: Flask, settings: Settings) -> None:
    """Add the access control that the operator wants: a prefix, proxies, CORS, keys and rate limits.

    Raises:
        ConfigError: If the file of keys, the rate limit or the store of its counts does not fit.
    """
    serve_below(app, settings.prefix)  # first of all: what ProxyFix says is heard after it
    if settings.trusted_proxies:
        hops = settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_prefix=1)  # type: ignore[method-assign]
    if settings.cors_origins:
        methods = "GET, POST" if settings.corrections is None else "GET, POST, DELETE"
        _let_pages_call(app, frozenset(split_list(settings.cors_origins)), methods)
    if settings.api_keys is not None:
        _ask_for_keys(app, ApiKeys.from_file(settings.api_keys), {"/metrics"} if settings.metrics_key else set())
    if settings.rate_limit:
        _limit_rates(app, settings)


def is_open(path: str) -> bool:
    """Return whether anyone may ask for an address, as often as they like."""
    return path in OPEN_PATHS or path.startswith(OPEN_FOLDER)


def client_name() -> str:
    """Return who asks: the owner of the key, or else the address."""
    return f"key {g.client}" if "client" in g else f"address {request.remote_addr}"


def _ask_for_keys(app: Flask, keys: ApiKeys, closed: Collection[str]) -> None:
    @app.before_request
    def check_key() -> None:
        if request.path in closed or not (is_open(request.path) or request.method == "OPTIONS"):
            g.client = keys.require(request)


def _limit_rates(app: Flask, settings: Settings) -> None:
    try:
        parse(settings.rate_limit)
    except ValueError:
        raise ConfigError(f"rate_limit is {settings.rate_limit!r}; it must look like 60/minute or 1000/day") from None

    @app.after_request
    def only_then_again_later(response: Response) -> Response:
        if response.status_code not in (429, 503):
            response.headers.pop("Retry-After", None)  # Flask-Limiter tells it everyone
        return response

    try:
        logging.getLogger("flask-limiter").setLevel(logging.WARNING)  # below that it logs who was limited, by address
        limiter = Limiter(
            client_name,
            app=app,
            application_limits=[settings.rate_limit],
            storage_uri=settings.rate_limit_storage,
            strategy="moving-window",
            headers_enabled=True,
            swallow_errors=True,  # a store that is down shall not stop the captions
        )
    except Exception as error:  # noqa: BLE001 - each store has its own kinds
        raise ConfigError(f"rate_limit_storage is {settings.rate_limit_storage!r}: {error}") from None
    limiter.request_filter(lambda: is_open(request.path) or request.method == "OPTIONS")


def _let_pages_call(app: Flask, origins: frozenset[str], methods: str) -> None:
    @app.after_request
    def allow_origin(response: Response) -> Response:
        response.vary.add("Origin")
        origin = request.headers.get("Origin", "")
        if origin in origins or (origin and ANY_ORIGIN in origins):
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Expose-Headers"] = "ETag, Retry-After, X-Request-Id"
            if request.method == "OPTIONS":
                response.headers["Access-Control-Allow-Methods"] = methods
                response.headers["Access-Control-Allow-Headers"] = (
                    f"Authorization, Content-Type, {HEADER}, X-Request-Id, traceparent, tracestate"
                )
                response.headers["Access-Control-Max-Age"] = str(PREFLIGHT_SECONDS)
        return response
