"""What vLLM's HTTP side counts, under the names, labels and buckets of prometheus-fastapi-instrumentator.

Statuses come in classes (`2xx`); a path that is no route is the handler `none`; the routes that probes and
Prometheus ask are left out. Durations are lab seconds, and a stream lasts until its end. A client that leaves
before it was answered is not counted.
"""

from __future__ import annotations

import time

import prometheus_client
from aiohttp import web
from aiohttp.typedefs import Handler
from prometheus_client import CollectorRegistry, Counter, Histogram, Summary

UNCOUNTED = {"/metrics", "/health", "/version"}
FINE = (
    0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5,
    3.0, 3.5, 4.0, 4.5, 5.0, 7.5, 10.0, 30.0, 60.0,
)  # fmt: skip
COARSE = (0.1, 0.5, 1.0)


class HttpMetrics:
    """Counts each request that the routes answer; `clock` is lab seconds in one real second."""

    def __init__(self, registry: CollectorRegistry, *, clock: float) -> None:
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
        self._clock = clock
        self._requests = Counter(
            "http_requests_total", "Requests.", ["method", "status", "handler"], registry=registry
        )
        size = ["handler"]
        self._in = Summary("http_request_size_bytes", "Their Content-Length.", size, registry=registry)
        self._out = Summary("http_response_size_bytes", "Of their answers.", size, registry=registry)
        self._fine = Histogram(
            "http_request_duration_highr_seconds",
            "All of them, lab seconds.",
            buckets=FINE,
            registry=registry,
        )
        self._coarse = Histogram(
            "http_request_duration_seconds",
            "By route, lab seconds.",
            ["method", "handler"],
            buckets=COARSE,
            registry=registry,
        )

    def watch(self, app: web.Application) -> None:
        """Count what this application answers."""
        app.on_response_prepare.append(self._prepared)
        app.middlewares.insert(0, self._count)

    @staticmethod
    async def _prepared(request: web.Request, response: web.StreamResponse) -> None:
        request["status"] = response.status

    @web.middleware
    async def _count(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        began, sent = time.monotonic(), 0
        try:
            response = await handler(request)
            request["status"] = response.status
            sent = response.content_length or 0
        finally:
            route = request.match_info.route.resource
            path = route.canonical if route is not None else "none"
            if "status" in request and path not in UNCOUNTED:
                self._record(request, path, seconds=time.monotonic() - began, sent=sent)
        return response

    def _record(self, request: web.Request, path: str, *, seconds: float, sent: int) -> None:
        self._requests.labels(request.method, f"{request['status'] // 100}xx", path).inc()
        self._in.labels(path).observe(request.content_length or 0)
        self._out.labels(path).observe(sent)
        self._fine.observe(seconds * self._clock)
        self._coarse.labels(request.method, path).observe(seconds * self._clock)
