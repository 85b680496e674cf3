"""HTTP as Prometheus series: by method, route template and status, never by id.

A request that became a message is also a log line, with the ids by which `make story` finds the rest.
"""

from functools import lru_cache, partial
from time import perf_counter

from prometheus_client import Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.health import Page
from shared.telemetry import tell_of_message

REQUESTS = Counter("http_requests_total", "HTTP requests answered.", ["method", "route", "status"])
SECONDS = Histogram(
    "http_request_duration_seconds", "From the request's head to the end of the answer.", ["method", "route"]
)
IN_PROGRESS = Gauge("http_requests_in_progress", "HTTP requests under way.", ["method"])
WAITING = Gauge("gateway_requests_waiting", "Requests that wait for the answer of a service.")
OTHER = "other"
UNDER_WAY = dict.fromkeys(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", OTHER), 0)
for _method in UNDER_WAY:
    IN_PROGRESS.labels(_method).set_function(partial(UNDER_WAY.__getitem__, _method))


class HttpMetrics:
    """Counts each request under the template of the route that took it."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in UNDER_WAY else OTHER
        status = 500
        started = perf_counter()

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        UNDER_WAY[method] += 1
        try:
            await self.app(scope, receive, watch)
        finally:
            UNDER_WAY[method] -= 1
            route, seconds = _template(scope), perf_counter() - started
            answered, durations = _series(method, route, status)
            answered.inc()
            durations.observe(seconds)
            if "message" in (sent := scope.get("state", {}).get("sent", {})):
                fields = {"method": method, "path": scope["path"], "status": status}
                tell_of_message("request", {**fields, "seconds": round(seconds, 6), **sent})


@lru_cache(maxsize=1024)
def _series(method: str, route: str, status: int) -> tuple[Counter, Histogram]:
    return REQUESTS.labels(method, route, status), SECONDS.labels(method, route)


def _template(scope: Scope) -> str:
    if isinstance(scope.get("endpoint"), Page):
        return str(scope["path"])  # the health pages have no parameters
    return getattr(scope.get("route"), "path", "none")
