"""Is this process alive, is it ready, what has it counted.

Ready is what probes found out, each second, with a limit: a frozen peer looks connected for half a
minute.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import orjson
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from shared.bus import Unconfirmed
from shared.journal import Conflict, StoreAway
from shared.telemetry import DEPENDENCY_UP

log = logging.getLogger(__name__)

PROBE_EVERY = 1.0
START_SECONDS = 2.0
JSON = "application/json"
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


@dataclass
class Dependency:
    """Something this process works with, and what the last probe of it found.

    A process that does not need it is ready without.
    """

    name: str
    probe: Callable[[], Awaitable[None]]
    needed: bool = True
    every: float = PROBE_EVERY
    up: bool = False
    reason: str = "not probed yet"
    since: float = field(default_factory=monotonic)

    async def keep_probing(self) -> None:
        while True:
            await self.probe_once()
            await asyncio.sleep(self.every if self.up else self.every / 5)

    async def probe_once(self) -> None:
        try:
            await self.probe()
        except (Unconfirmed, StoreAway, Conflict) as error:
            self.failed(str(error))
        except Exception as error:
            log.exception("probing %s", self.name)
            self.failed(repr(error))
        else:
            self._note(True, "")

    def failed(self, reason: str) -> None:
        """It did not do what was asked of it: it counts as down until a probe succeeds."""
        self._note(False, reason[:200])

    def _note(self, up: bool, reason: str) -> None:
        if up != self.up:
            self.since = monotonic()
        self.up, self.reason = up, reason
        DEPENDENCY_UP.labels(self.name).set(up)

    def report(self) -> dict[str, Any]:
        report: dict[str, Any] = {"up": self.up, "for_seconds": round(monotonic() - self.since, 1)}
        return report if self.up else report | {"reason": self.reason}


class Health:
    """What `/health/live`, `/health/ready` and `/metrics` of every process answer."""

    def __init__(self, dependencies: Iterable[Dependency]):
        self.dependencies = list(dependencies)
        self.stage = "starting"

    async def ready_soon(self) -> None:
        """Wait until it is ready, and not for long: whoever listens first and is not refuses what comes."""
        end = monotonic() + START_SECONDS
        while not self.ready and monotonic() < end:
            await asyncio.sleep(0.02)

    @property
    def ready(self) -> bool:
        return self.stage == "running" and all(one.up for one in self.dependencies if one.needed)

    def report(self) -> dict[str, Any]:
        return {
            "ready": self.ready,
            "stage": self.stage,
            "dependencies": {one.name: one.report() for one in self.dependencies},
        }

    def pages(self) -> list[tuple[str, "Page"]]:
        """The paths and ASGI applications that every process serves."""
        return [
            ("/health/live", Page(lambda: (200, b'{"alive":true}', JSON))),
            ("/health/ready", Page(lambda: (200 if self.ready else 503, orjson.dumps(self.report()), JSON))),
            ("/metrics", Page(lambda: (200, generate_latest(), CONTENT_TYPE_LATEST))),
        ]


@dataclass(frozen=True)
class Page:
    """An ASGI application that answers what `render` gives: status, body, content type."""

    render: Callable[[], tuple[int, bytes, str]]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        status, body, content_type = self.render()
        headers = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
