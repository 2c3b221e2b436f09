"""Measures of the HTTP calls for Prometheus; labels name routes, never users or things."""

import os
from functools import lru_cache

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
MULTIPROCESS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"


class Measures:
    """Counts calls. With PROMETHEUS_MULTIPROC_DIR set, `text` tells of all the processes that share this folder."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._calls = Counter("maas_http_calls", "HTTP calls answered.", ("method", "route", "status"), registry=self.registry)
        self._seconds = Histogram(
            "maas_http_seconds", "Time to the answer's head.", ("method", "route"), registry=self.registry, buckets=_BUCKETS
        )
        self._calls_of = lru_cache(maxsize=4096)(self._calls.labels)
        self._seconds_of = lru_cache(maxsize=1024)(self._seconds.labels)

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answered call."""
        method = method if method in _METHODS else "OTHER"
        self._calls_of(method, route, status).inc()
        self._seconds_of(method, route).observe(seconds)

    def text(self) -> bytes:
        """Return all measures in Prometheus' text format."""
        if MULTIPROCESS_FOLDER not in os.environ:
            return generate_latest(self.registry)
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call] # prometheus-client leaves it untyped
        return generate_latest(registry)
