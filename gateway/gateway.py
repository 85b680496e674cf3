"""What all requests of the process share."""

from typing import Any

from gateway.cache import Cache
from gateway.operations import Operations
from gateway.settings import GatewaySettings
from shared.asking import Answered, RequestClient
from shared.blobs import Blobs
from shared.health import Dependency
from shared.messages import Request, Unavailable

ANONYMOUS = "anonymous"


class Gateway:
    """The broker, the cache, the blob store, the settings, and how many requests wait for answers."""

    def __init__(
        self,
        client: RequestClient,
        broker: Dependency,
        cache: Cache,
        operations: Operations,
        settings: GatewaySettings,
        blobs: Blobs,
    ):
        self.client = client
        self.broker = broker
        self.cache = cache
        self.operations = operations
        self.settings = settings
        self.blobs = blobs
        self.waiting = 0

    def refuse_what_cannot_be_sent(self) -> None:
        """At once, while the broker does not answer probes: a frozen one would only cost time."""
        if not self.broker.up:
            raise Unavailable("The message broker cannot be reached; try again shortly.")
        if self.waiting >= self.settings.waiting_requests:
            raise Unavailable("Too many requests wait for answers already; try again shortly.")

    async def ask(self, request: Request[Any], **how: Any) -> Answered:
        """The answer; refused with `Unavailable` where nothing was sent."""
        self.refuse_what_cannot_be_sent()
        self.waiting += 1
        try:
            return await self.client.ask(request, actor=ANONYMOUS, **how)
        finally:
            self.waiting -= 1
