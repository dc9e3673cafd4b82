"""What the server tells Prometheus of itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


@final
class Metrics:
    """Counters of one server, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self.requests = Counter(
            "xdecoder_requests", "Requests by verb and status.", ("verb", "status"), registry=self._registry
        )
        self.seconds = Histogram(
            "xdecoder_request_seconds",
            "Seconds from a request's start to its answer.",
            ("verb",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.batches = Histogram(
            "xdecoder_batch_size",
            "Requests answered together.",
            buckets=(1, 2, 4, 8, 16, 32, 64),
            registry=self._registry,
        )
        self.hits = Counter(
            "xdecoder_cache_hits", "Questions about an image that was kept.", registry=self._registry
        )
        self.misses = Counter(
            "xdecoder_cache_misses", "Questions about an image that was not kept.", registry=self._registry
        )

    def observe(self, name: str, what: str, read: Callable[[], float]) -> None:
        """A number that is read when it is asked for.

        Args:
            name: after "xdecoder_".
            what: it is, in words.
            read: called whenever the metrics are read, gives the value.
        """
        Gauge(f"xdecoder_{name}", what, registry=self._registry).set_function(read)

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self._registry)
