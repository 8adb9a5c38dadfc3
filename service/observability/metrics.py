"""What Prometheus reads of the service."""

from collections.abc import Sequence
from typing import get_args

from flask import Blueprint, Response
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from service.observability.access import Answer
from service.observability.observer import Observer, Reason

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
PHOTOS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64)
RELOADS = {True: "succeeded", False: "failed"}
REFUSED = {  # HTTP status -> why a request was refused before it could wait for the model
    401: "unauthorized",
    403: "unauthorized",
    413: "too_large",
    415: "unsupported",
    422: "invalid",
    429: "rate_limited",
}


class Metrics(Observer):
    """An observer that counts. It has a registry of its own, so that two services in a process share nothing."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a time of birth beside every number, which nobody reads
        registry = self.registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._requests = Counter(
            "captioner_requests_total", "Answers, by route and HTTP status.", ("route", "status"), registry=registry
        )
        self._duration = _seconds("captioner_request_duration_seconds", "Time to answer.", registry, ("route",))
        self._rejected = Counter(
            "captioner_rejected_total", "Requests that the model never saw.", ("reason",), registry=registry
        )
        for reason in (*get_args(Reason), *REFUSED.values()):
            self._rejected.labels(reason)  # a rate needs a zero to start from
        self._depth = Gauge("captioner_queue_depth", "Requests that wait for the model.", registry=registry)
        self._wait = _seconds("captioner_queue_wait_seconds", "How long a photo waited for the model.", registry)
        self._batch = Histogram("captioner_batch_size", "Photos per batch.", buckets=PHOTOS, registry=registry)
        self._inference = _seconds("captioner_inference_seconds", "Time of the model for a batch.", registry)
        self._decode = _seconds("captioner_decode_seconds", "Time to decode a photo.", registry)
        self._hits = Counter("captioner_cache_hits_total", "Answers from those kept.", registry=registry)
        self._misses = Counter("captioner_cache_misses_total", "Answers that had to be made.", registry=registry)
        self._ready = Gauge("captioner_ready", "1 while the service takes requests, else 0.", registry=registry)
        self._model = Info("captioner_model", "The model that answers.", registry=registry)
        self._reloads = Counter(
            "captioner_reloads_total", "New models that were to take over.", ("result",), registry=registry
        )
        for result in RELOADS.values():
            self._reloads.labels(result)
        self._stale = Gauge(
            "captioner_reload_failed", "1 while the newest model cannot be used, else 0.", registry=registry
        )

    def answered(self, answer: Answer) -> None:
        """Count an answer."""
        self._requests.labels(answer.route, answer.status).inc()
        self._duration.labels(answer.route).observe(answer.seconds)
        if answer.status in REFUSED:
            self._rejected.labels(REFUSED[answer.status]).inc()

    def queued(self, depth: int) -> None:
        """Note how many requests wait."""
        self._depth.set(depth)

    def batch(self, size: int, waited: Sequence[float], seconds: float) -> None:
        """Count a batch."""
        self._batch.observe(size)
        self._inference.observe(seconds)
        for wait in waited:
            self._wait.observe(wait)

    def decoded(self, seconds: float) -> None:
        """Count a decoded photo."""
        self._decode.observe(seconds)

    def rejected(self, reason: Reason) -> None:
        """Count a request that was given up."""
        self._rejected.labels(reason).inc()

    def cache(self, hit: bool) -> None:
        """Count a look into the kept answers."""
        (self._hits if hit else self._misses).inc()

    def ready(self, is_ready: bool) -> None:
        """Note whether the service takes requests."""
        self._ready.set(is_ready)

    def model(self, name: str, version: str, sha256: str) -> None:
        """Note which model answers."""
        self._model.info({"name": name, "version": version, "sha256": sha256})

    def reloaded(self, succeeded: bool) -> None:
        """Count a new model, and note whether it could be used."""
        self._reloads.labels(RELOADS[succeeded]).inc()
        self._stale.set(not succeeded)


def create_metrics_page(metrics: Metrics) -> Blueprint:
    """Return the route ``/metrics``."""
    page = Blueprint("metrics", __name__)

    @page.get("/metrics")
    def show_metrics() -> Response:
        text = generate_latest(metrics.registry)
        return Response(text, content_type=CONTENT_TYPE_PLAIN_0_0_4, headers={"Cache-Control": "no-store"})

    return page


def _seconds(name: str, meaning: str, registry: CollectorRegistry, labels: Sequence[str] = ()) -> Histogram:
    return Histogram(name, meaning, labels, buckets=SECONDS, registry=registry)
